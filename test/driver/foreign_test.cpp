// Descriptors that are not ringo's own (one_shot), and those that are not sockets.
#include <cstdio>
#include <memory>

#include "harness.hpp"

using namespace driver_test;

namespace {

// A source on somebody else's descriptor.
std::unique_ptr<Source> foreign(const Fd& fd) {
  auto source = std::make_unique<Source>(fd);
  source->one_shot = true;
  return source;
}

TEST_CASE("one waits to read and another to write on the same descriptor") {
  on_each_driver([](Driver& driver) {
    for (const bool reader_first : {false, true}) {
      CAPTURE(reader_first);
      Pair pair = unix_pair();
      while (feed(pair.a, pattern(65536)) == 65536) {}
      const auto reader = foreign(pair.a), writer = foreign(pair.a);
      if (reader_first) driver.want(*reader, Direction::in);
      driver.want(*writer, Direction::out);
      if (!reader_first) driver.want(*reader, Direction::in);
      run_idle(driver);
      CHECK(reader->calls[0] == 0);
      CHECK(writer->calls[1] == 0);
      feed(pair.b, "x");
      run_until(driver, [&] { return reader->calls[0] == 1; });
      CHECK(writer->calls[1] == 0);
      drain_socket(pair.b);
      run_until(driver, [&] { return writer->calls[1] == 1; });
      CHECK(reader->calls[0] == 1);
      driver.stop(*reader);
      driver.stop(*writer);
    }
  });
}

TEST_CASE("all who wait to read on one descriptor are told") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    std::vector<std::unique_ptr<Source>> sources;
    for (int i = 0; i < 10; ++i) {
      sources.push_back(foreign(pair.a));
      driver.want(*sources.back(), Direction::in);
    }
    run_idle(driver);
    driver.stop(*sources[3]);
    feed(pair.b, "x");
    run_until(driver, [&] { return driver.in_flight() == 0; });
    for (std::size_t i = 0; i < 10; ++i) {
      CHECK(sources[i]->calls[0] == 1);
      CHECK(sources[i]->error[0] == (i == 3 ? ECANCELED : 0));
      driver.stop(*sources[i]);
    }
  });
}

TEST_CASE("the answer to one does not use up what another waits for") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    const auto first = foreign(pair.a), second = foreign(pair.a);
    feed(pair.b, "x");
    driver.want(*first, Direction::in);
    run_until(driver, [&] { return first->calls[0] == 1; });
    driver.want(*second, Direction::in);
    run_until(driver, [&] { return second->calls[0] == 1; });
    CHECK(first->calls[0] == 1);
    driver.stop(*first);
    driver.stop(*second);
  });
}

TEST_CASE("nothing stays registered when nobody waits") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    // A duplicate keeps the socket open, as a library may do behind our back.
    const Fd duplicate(::dup(pair.a.get()));
    const auto source = foreign(pair.a);
    driver.want(*source, Direction::in);
    run_idle(driver);
    feed(pair.b, "x");
    run_until(driver, [&] { return source->calls[0] == 1; });
    pair.a.close();
    run_idle(driver);
    const std::uint64_t before = driver.stats().completions;
    feed(pair.b, "more");
    CHECK(driver.poll(0) == 0);
    CHECK(driver.poll(5 * ms) == 0);
    CHECK(driver.stats().completions == before);
    driver.stop(*source);
  });
}

TEST_CASE("a descriptor closed and opened again under the same number is another one") {
  on_each_driver([](Driver& driver) {
    for (int round = 0; round < 20; ++round) {
      Pair old = unix_pair();
      const int number = old.a.get();
      const Fd duplicate(::dup(number));  // keeps the old socket, and its registration, alive
      const auto waiter = foreign(old.a);
      driver.want(*waiter, Direction::in);
      run_idle(driver);
      old.a.close();  // under the waiter, as users do
      Pair young = unix_pair();
      REQUIRE(young.a.get() == number);
      const auto source = foreign(young.a);
      driver.want(*source, Direction::in);
      run_idle(driver);
      CHECK(source->calls[0] == 0);
      feed(old.b, "for whoever holds the duplicate");
      run_idle(driver);
      CHECK(source->calls[0] == 0);
      feed(young.b, "x");
      run_until(driver, [&] { return source->calls[0] == 1; });
      CHECK(source->error[0] == 0);
      driver.stop(*waiter);
      driver.stop(*source);
      run_until(driver, [&] { return driver.in_flight() == 0; });
    }
  });
}

TEST_CASE("readable() of ringo's own socket works beside the socket") {
  on_each_driver([](Driver& driver) {
    for (const bool socket_first : {false, true}) {
      CAPTURE(socket_first);
      Pair pair = tcp_pair();
      Source socket(pair.a);
      const auto watcher = foreign(pair.a);
      if (socket_first) driver.want(socket, Direction::in);
      driver.want(*watcher, Direction::in);
      if (!socket_first) driver.want(socket, Direction::in);
      run_idle(driver);
      CHECK(socket.calls[0] == 0);
      CHECK(watcher->calls[0] == 0);
      feed(pair.b, "x");
      run_until(driver, [&] { return socket.calls[0] == 1 && watcher->calls[0] == 1; });
      CHECK(socket.error[0] == 0);
      CHECK(watcher->error[0] == 0);
      // Again, now that the socket is registered.
      CHECK(drain_socket(pair.a) == "x");
      driver.used_up(socket, Direction::in);
      driver.want(*watcher, Direction::in);
      driver.want(socket, Direction::in);
      run_idle(driver);
      CHECK(socket.calls[0] == 1);
      CHECK(watcher->calls[0] == 1);
      feed(pair.b, "y");
      run_until(driver, [&] { return socket.calls[0] == 2 && watcher->calls[0] == 2; });
      driver.stop(*watcher);
      driver.stop(socket);
    }
  });
}

TEST_CASE("a plain file is always ready, in both directions and any number of times") {
  on_each_driver([](Driver& driver) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> temporary(std::tmpfile(), &std::fclose);
    REQUIRE(temporary != nullptr);
    const Fd file(::dup(::fileno(temporary.get())));
    for (const bool one_shot : {false, true}) {
      CAPTURE(one_shot);
      Source source(file);
      source.one_shot = one_shot;
      for (int round = 1; round <= 3; ++round) {
        driver.want(source, Direction::in);
        driver.want(source, Direction::out);
        run_until(driver, [&] { return driver.in_flight() == 0; });
        CHECK(source.calls[0] == round);
        CHECK(source.calls[1] == round);
        CHECK(source.error[0] == 0);
        CHECK(source.error[1] == 0);
        driver.used_up(source, Direction::in);
        driver.used_up(source, Direction::out);
      }
      driver.stop(source);
    }
  });
}

TEST_CASE("pipes, eventfds and listening sockets") {
  on_each_driver([](Driver& driver) {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    Fd in(fds[0]), out(fds[1]);
    Source reader(in), writer(out);
    driver.want(reader, Direction::in);
    driver.want(writer, Direction::out);
    run_until(driver, [&] { return writer.calls[1] == 1; });
    CHECK(reader.calls[0] == 0);
    REQUIRE(::write(out.get(), "x", 1) == 1);
    run_until(driver, [&] { return reader.calls[0] == 1; });
    driver.stop(writer);
    char byte;
    REQUIRE(::read(in.get(), &byte, 1) == 1);
    driver.used_up(reader, Direction::in);
    driver.want(reader, Direction::in);
    run_idle(driver);
    CHECK(reader.calls[0] == 1);
    out.close();  // EPOLLHUP without EPOLLIN
    run_until(driver, [&] { return reader.calls[0] == 2; });
    CHECK(reader.error[0] == 0);
    driver.stop(reader);

    const Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const auto counter = foreign(event);
    driver.want(*counter, Direction::in);
    run_idle(driver);
    CHECK(counter->calls[0] == 0);
    const std::uint64_t one = 1;
    REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
    run_until(driver, [&] { return counter->calls[0] == 1; });
    driver.stop(*counter);

    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener.get(), generic, size) == 0);
    REQUIRE(::listen(listener.get(), 16) == 0);
    REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
    Source acceptor(listener);
    driver.want(acceptor, Direction::in);
    run_idle(driver);
    CHECK(acceptor.calls[0] == 0);
    for (int round = 1; round <= 3; ++round) {
      const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      REQUIRE(::connect(client.get(), generic, size) == 0);
      run_until(driver, [&] { return acceptor.calls[0] == round; });
      const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      CHECK(::accept4(listener.get(), nullptr, nullptr, 0) == -1);
      driver.used_up(acceptor, Direction::in);
      driver.want(acceptor, Direction::in);
    }
    driver.stop(acceptor);
    run_until(driver, [&] { return driver.in_flight() == 0; });
  });
}

}  // namespace
