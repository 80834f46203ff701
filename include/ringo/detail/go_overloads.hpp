// The overloads of a member function go(f, args...).
#pragma once

#include <source_location>
#include <utility>

namespace ringo::detail {

/// Gives Self a go(f, args...) with up to eight arguments, which calls
/// self.go_at(site, f, args...). A default argument cannot follow a pack, and the spawn site must
/// not cost the caller a word: hence one overload for each number.
template <class Self>
class GoOverloads {
  using Site = std::source_location;

 public:
  template <class F>
  auto go(F&& f, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f));
  }
  template <class F, class A>
  auto go(F&& f, A&& a, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  auto go(F&& f, A&& a, B&& b, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  auto go(F&& f, A&& a, B&& b, C&& c, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D>
  auto go(F&& f, A&& a, B&& b, C&& c, D&& d, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c), std::forward<D>(d));
  }
  template <class F, class A, class B, class C, class D, class E>
  auto go(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class F, class A, class B, class C, class D, class E, class G>
  auto go(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                        std::forward<G>(g));
  }
  template <class F, class A, class B, class C, class D, class E, class G, class H>
  auto go(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h,
          Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                        std::forward<G>(g), std::forward<H>(h));
  }
  template <class F, class A, class B, class C, class D, class E, class G, class H, class I>
  auto go(F&& f, A&& a, B&& b, C&& c, D&& d, E&& e, G&& g, H&& h, I&& i,
          Site site = Site::current()) const {
    return self().go_at(site, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b),
                        std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                        std::forward<G>(g), std::forward<H>(h), std::forward<I>(i));
  }

 protected:
  GoOverloads() = default;
  ~GoOverloads() = default;
  GoOverloads(const GoOverloads&) = default;
  GoOverloads& operator=(const GoOverloads&) = default;

 private:
  const Self& self() const noexcept { return static_cast<const Self&>(*this); }
};

}  // namespace ringo::detail
