// Which sanitizer this is compiled for: RINGO_ASAN and RINGO_TSAN are 1 or 0.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGO_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define RINGO_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define RINGO_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define RINGO_TSAN 1
#endif
#ifndef RINGO_ASAN
#define RINGO_ASAN 0
#endif
#ifndef RINGO_TSAN
#define RINGO_TSAN 0
#endif
