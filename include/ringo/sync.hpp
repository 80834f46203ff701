// All of ringo's locks and their like.
#pragma once

#include <ringo/cond.hpp>
#include <ringo/defer.hpp>
#include <ringo/mutex.hpp>
#include <ringo/once.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/shared_mutex.hpp>
#include <ringo/wait_group.hpp>
