// What the cases of Contexts share.
#pragma once

#include <string>

#include <ringo/context.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "conformance/support.hpp"

namespace ringo::test {

inline const ContextKey<std::string> name_key{"name"};
inline const ContextKey<int> number_key{"number"};

inline Error because(const char* why) {
  return Error(std::make_error_code(std::errc::owner_dead), "because", why);
}

/// Is done() ready at this moment?
inline Task<bool> done_now(Context ctx) {
  bool done = false;
  co_await select_any{on(ctx.done(), [&] { done = true; }), otherwise([] {})};
  co_return done;
}

inline Task<> check_not_done(Context ctx) {
  CHECK(!ctx.err());
  CHECK(!ctx.cause());
  CHECK(!co_await done_now(ctx));
}

inline Task<> check_done(Context ctx, Errc why) {
  CHECK(ctx.err() == why);
  CHECK(co_await done_now(ctx));
  co_await ctx.done();
}

inline Task<> check_ends_by_deadline(Context ctx) {
  bool done = false;
  co_await select_any{on(ctx.done(), [&] { done = true; }),
                      on(after(std::chrono::seconds(30)), [] {})};
  CHECK(done);
  co_await check_done(ctx, Errc::deadline_exceeded);
}

}  // namespace ringo::test
