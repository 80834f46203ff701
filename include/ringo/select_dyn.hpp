// select_dyn: a select over cases that are known only at run time.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/select.hpp>

namespace ringo {

namespace detail {

[[noreturn]] void throw_case_used();

/// The cases as a list. Throws Panic above 65536 cases and for a second default.
class SelectList {
 public:
  explicit SelectList(std::size_t count);
  void set(std::size_t index, CaseBase* one);
  CaseBase** data() noexcept { return list_.data(); }
  std::size_t size() const noexcept { return list_.size(); }
  bool has_default() const noexcept { return has_default_; }

 private:
  std::vector<CaseBase*> list_;
  bool has_default_ = false;
};

}  // namespace detail

/// A case whose type is hidden, for select_dyn: made from on(operation, handler) or otherwise().
/// It may serve any number of selects, unless its operation is used up by one (a send of a value
/// that cannot be copied): then a second one throws Panic. An operation given as an lvalue (a
/// Timer, an After) must outlive it.
class SelectCase {
 public:
  template <class Op, class H>
  SelectCase(detail::On<Op, H> entry)
      : holder_(new Holder<Op, H>(std::forward<Op>(entry.op), std::move(entry.handler))) {}
  template <class H>
  SelectCase(detail::Otherwise<H> entry) : holder_(new Default<H>(std::move(entry.handler))) {}

 private:
  friend class select_dyn;
  struct HolderBase {
    virtual ~HolderBase() = default;
    virtual detail::CaseBase* prepare() = 0;  // null: the default
    virtual void deliver() = 0;
    virtual void discard() noexcept = 0;
  };

  template <class Op, class H>
  struct Holder final : HolderBase {
    using Case = typename std::remove_cvref_t<Op>::Case;
    Holder(Op&& o, H h) : op(std::forward<Op>(o)), handler(std::move(h)) {}
    ~Holder() override { discard(); }
    detail::CaseBase* prepare() override {
      discard();
      if constexpr (std::is_constructible_v<Case, std::remove_reference_t<Op>&>) {
        current = ::new (static_cast<void*>(memory)) Case(op);
      } else {
        if (used) detail::throw_case_used();
        used = true;
        current = ::new (static_cast<void*>(memory)) Case(std::move(op));
      }
      return current;
    }
    void deliver() override {
      using Result = decltype(current->result());
      if constexpr (std::is_same_v<H, detail::NoHandler>) {
        (void)current->result();
      } else if constexpr (std::is_void_v<Result>) {
        current->result();
        handler();
      } else if constexpr (std::is_invocable_v<H&, Result>) {
        handler(current->result());
      } else {
        (void)current->result();
        handler();
      }
    }
    void discard() noexcept override {
      if (current != nullptr) std::destroy_at(std::exchange(current, nullptr));
    }
    Op op;
    [[no_unique_address]] H handler;
    bool used = false;
    Case* current = nullptr;
    alignas(Case) std::byte memory[sizeof(Case)];
  };

  template <class H>
  struct Default final : HolderBase {
    explicit Default(H h) : handler(std::move(h)) {}
    detail::CaseBase* prepare() override { return nullptr; }
    void deliver() override {
      if constexpr (!std::is_same_v<H, detail::NoHandler>) handler();
    }
    void discard() noexcept override {}
    [[no_unique_address]] H handler;
  };

  std::unique_ptr<HolderBase> holder_;
};

/// select_any over a number of cases known only at run time (Go's reflect.Select):
/// `std::size_t which = co_await select_dyn(cases)`, `cases` being a std::vector<SelectCase> that
/// outlives the await. Runs the handler of the case that took place and yields its index. Throws
/// Panic above 65536 cases or for two defaults. Allocates.
class [[nodiscard("co_await it")]] select_dyn {
 public:
  [[nodiscard("co_await it")]] explicit select_dyn(std::vector<SelectCase>& cases,
                                                   bool top_first = false)
      : cases_(&cases), top_first_(top_first) {}

  class Awaiter final : private detail::SelectList {
   public:
    Awaiter(detail::Goroutine* g, std::vector<SelectCase>& cases, bool top_first)
        : SelectList(cases.size()), g_(g), cases_(cases), base_(g, fill(), top_first) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      for (SelectCase& one : cases_) one.holder_->discard();
    }
    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> frame) {
      return base_.begin(frame);
    }
    std::size_t await_resume() {
      std::size_t winner = base_.end();
      cases_[winner].holder_->deliver();
      return winner;
    }

   private:
    SelectList& fill() {
      for (std::size_t i = 0; i < cases_.size(); ++i) {
        detail::CaseBase* one = cases_[i].holder_->prepare();
        if (one != nullptr) one->node.g = g_;
        set(i, one);
      }
      return *this;
    }
    struct Base final : detail::SelectBase {
      Base(detail::Goroutine* g, SelectList& list, bool top_first)
          : SelectBase(g, list.data(), list.size(), list.has_default(), top_first) {}
      bool begin(std::coroutine_handle<> frame) { return start(frame); }
      std::size_t end() { return finish(); }
    };
    detail::Goroutine* g_;
    std::vector<SelectCase>& cases_;
    Base base_;
  };

  Awaiter ringo_await(detail::Goroutine* g) { return Awaiter(g, *cases_, top_first_); }

 private:
  std::vector<SelectCase>* cases_;
  bool top_first_;
};

}  // namespace ringo
