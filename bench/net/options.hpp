// Command lines of the programs here: --name VALUE or --name=VALUE, and --name alone for a switch.
#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bench {

/// Collects where the values go, then parse() fills them in. What stands in a variable before is
/// its default, and is shown as such in the usage.
class Options {
 public:
  explicit Options(std::string purpose) : purpose_(std::move(purpose)) {}

  /// A whole number from `low` to `high`.
  void number(std::string name, long& target, long low, long high, std::string help) {
    flags_.push_back({std::move(name), Number{&target, low, high}, std::move(help)});
  }
  /// A number of seconds from `low` to `high`.
  void seconds(std::string name, double& target, double low, double high, std::string help) {
    flags_.push_back({std::move(name), Seconds{&target, low, high}, std::move(help)});
  }
  /// Any text.
  void text(std::string name, std::string& target, std::string help) {
    flags_.push_back({std::move(name), Text{&target, {}}, std::move(help)});
  }
  /// One of a few words.
  void choice(std::string name, std::string& target, std::initializer_list<std::string> words,
              std::string help) {
    flags_.push_back({std::move(name), Text{&target, words}, std::move(help)});
  }
  /// False unless given.
  void toggle(std::string name, bool& target, std::string help) {
    flags_.push_back({std::move(name), Toggle{&target}, std::move(help)});
  }

  /// Reads the command line. Ends the program with the usage on stderr and exit code 2 if there
  /// is anything in it that it does not understand, with the usage on stdout and 0 on --help.
  void parse(int argc, char** argv) {
    program_ = argv[0];
    for (int i = 1; i < argc; ++i) {
      std::string_view word = argv[i];
      if (word == "--help" || word == "-h") {
        print_usage(stdout);
        std::exit(0);
      }
      std::string_view value;
      const std::size_t equals = word.find('=');
      const bool joined = equals != std::string_view::npos;
      if (joined) {
        value = word.substr(equals + 1);
        word = word.substr(0, equals);
      }
      const Flag* flag = find(word);
      if (flag == nullptr) fail("unknown argument " + std::string(argv[i]));
      if (const auto* toggle = std::get_if<Toggle>(&flag->kind)) {
        if (joined) fail(flag->name + " takes no value");
        *toggle->target = true;
        continue;
      }
      if (!joined) {
        if (i + 1 == argc) fail(flag->name + " needs a value");
        value = argv[++i];
      }
      set(*flag, value);
    }
  }

  /// Ends the program like a bad flag does, for what only the program itself can judge.
  [[noreturn]] void fail(const std::string& what) const {
    std::fprintf(stderr, "%s: %s\n", program_.c_str(), what.c_str());
    print_usage(stderr);
    std::exit(2);
  }

 private:
  struct Number {
    long* target;
    long low;
    long high;
  };
  struct Seconds {
    double* target;
    double low;
    double high;
  };
  struct Text {
    std::string* target;
    std::vector<std::string> words;
  };
  struct Toggle {
    bool* target;
  };
  struct Flag {
    std::string name;
    std::variant<Number, Seconds, Text, Toggle> kind;
    std::string help;
  };

  const Flag* find(std::string_view word) const {
    for (const Flag& flag : flags_) {
      if (flag.name == word) return &flag;
    }
    return nullptr;
  }

  void set(const Flag& flag, std::string_view value) const {
    const std::string shown(value);
    if (const auto* number = std::get_if<Number>(&flag.kind)) {
      if (!read(value, *number->target) || *number->target < number->low ||
          *number->target > number->high) {
        fail(flag.name + " wants a whole number from " + std::to_string(number->low) + " to " +
             std::to_string(number->high) + ", not '" + shown + "'");
      }
    } else if (const auto* time = std::get_if<Seconds>(&flag.kind)) {
      if (!read(value, *time->target) || !(*time->target >= time->low) ||
          !(*time->target <= time->high)) {
        fail(flag.name + " wants seconds from " + decimal(time->low) + " to " +
             decimal(time->high) + ", not '" + shown + "'");
      }
    } else if (const auto* text = std::get_if<Text>(&flag.kind)) {
      bool known = text->words.empty();
      for (const std::string& word : text->words) known = known || word == value;
      if (!known) fail(flag.name + " wants " + alternatives(text->words) + ", not '" + shown + "'");
      *text->target = shown;
    }
  }

  template <typename T>
  static bool read(std::string_view value, T& target) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target);
    return error == std::errc{} && end == value.data() + value.size();
  }

  static std::string decimal(double value) {
    char out[32];
    std::snprintf(out, sizeof out, "%g", value);
    return out;
  }

  static std::string alternatives(const std::vector<std::string>& words) {
    std::string all;
    for (const std::string& word : words) {
      if (!all.empty()) all += "|";
      all += word;
    }
    return all;
  }

  void print_usage(std::FILE* out) const {
    std::fprintf(out, "usage: %s [flags]\n%s\n\n", program_.c_str(), purpose_.c_str());
    for (const Flag& flag : flags_) {
      const char* kind = "";
      std::string initial;
      std::string words;
      if (const auto* number = std::get_if<Number>(&flag.kind)) {
        kind = "N";
        if (*number->target >= number->low) initial = std::to_string(*number->target);
      } else if (const auto* time = std::get_if<Seconds>(&flag.kind)) {
        kind = "S";
        initial = decimal(*time->target);
      } else if (const auto* text = std::get_if<Text>(&flag.kind)) {
        kind = text->words.empty() ? "TEXT" : "WORD";
        initial = *text->target;
        words = alternatives(text->words);
      }
      std::fprintf(out, "  %-15s %-4s  %s", flag.name.c_str(), kind, flag.help.c_str());
      if (!words.empty()) std::fprintf(out, ": %s", words.c_str());
      if (!initial.empty()) std::fprintf(out, " (%s)", initial.c_str());
      std::fputc('\n', out);
    }
  }

  std::string program_;
  std::string purpose_;
  std::vector<Flag> flags_;
};

}  // namespace bench
