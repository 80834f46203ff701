// All of ringo. The headers stand on their own too.
#pragma once

#include <ringo/blocking.hpp>
#include <ringo/cancellation.hpp>
#include <ringo/channel.hpp>
#include <ringo/context.hpp>
#include <ringo/error.hpp>
#include <ringo/event.hpp>
#include <ringo/go.hpp>
#include <ringo/net.hpp>
#include <ringo/panic.hpp>
#include <ringo/protect.hpp>
#include <ringo/readiness.hpp>
#include <ringo/result.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/signals.hpp>
#include <ringo/single_flight.hpp>
#include <ringo/sync.hpp>
#include <ringo/task.hpp>
#include <ringo/task_group.hpp>
#include <ringo/time.hpp>
#include <ringo/version.hpp>
#include <ringo/when.hpp>
