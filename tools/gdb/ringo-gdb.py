# Goroutines of a ringo program, in a live process and in a core.
#
#   (gdb) source tools/gdb/ringo-gdb.py
#   (gdb) ringo goroutines       every goroutine: number, what it does or waits for, where
#   (gdb) ringo bt 7             the await chain of goroutine 7, innermost frame first
#
# ringo must have been built with debug information (-g). With several runtimes in the process,
# several goroutines may have the same number: `ringo bt` shows all of them.
#
# It reads the records of goroutines, lib/runtime/records.hpp, and the promises of their frames,
# include/ringo/detail/promise.hpp; nothing of the program is called, so a core will do.
import gdb

# A promise lies behind the two pointers with which every coroutine frame begins.
PROMISE_OFFSET = 16
WRAPPING = ("include/ringo/run.hpp", "include/ringo/go.hpp")


def atomic(value):
    """What a std::atomic holds."""
    fields = [field.name for field in value.type.strip_typedefs().fields()]
    if "_M_b" in fields:
        return value["_M_b"]["_M_p"]
    if "_M_i" in fields:
        return value["_M_i"]
    return atomic(value[value.type.strip_typedefs().fields()[0]])  # of a base class


def pointer_to(name):
    return gdb.lookup_type(name).pointer()


def enumerator(value):
    return str(value).split("::")[-1]


class Site:
    """A std::source_location."""

    def __init__(self, value):
        self.file, self.function, self.line = "", "", 0
        place = value["_M_impl"]
        if place != 0:
            place = place.dereference()
            self.file = place["_M_file_name"].string()
            self.function = place["_M_function_name"].string()
            self.line = int(place["_M_line"])

    def wrapping(self):
        return self.line == 0 or self.file.endswith(WRAPPING)

    def place(self):
        return "%s:%d" % (self.file, self.line)

    def name(self):
        """The function's name without result, parameters and what GCC adds for coroutines."""
        name = self.function
        if name.endswith("]") and " [" in name:
            name = name[: name.rindex(" [")]
        name = name.removesuffix(" const")
        name = self.without_parameters(name).removesuffix("::operator()")
        depth = 0
        for at in range(len(name) - 1, -1, -1):
            if name[at] in ")>]":
                depth += 1
            elif name[at] in "(<[":
                depth -= 1
            elif name[at] == " " and depth == 0:
                return name[at + 1 :]
        return name

    @staticmethod
    def without_parameters(name):
        if not name.endswith(")"):
            return name
        depth = 0
        for at in range(len(name) - 1, 0, -1):
            if name[at] == ")":
                depth += 1
            elif name[at] == "(":
                depth -= 1
                if depth == 0:
                    return name[:at]
        return name


class Goroutine:
    def __init__(self, record):
        self.record = record
        self.id = int(record["id"])
        self.spawn_site = Site(record["spawn_site"])
        self.spawner = int(record["spawner"])
        self.is_main = self.id == 1

    def state(self, running):
        if int(self.record.address) in running:
            return "running"
        reason = enumerator(atomic(self.record["reason"]))
        if self.record["wait"] == 0 and reason != "blocking_call_end":
            return "runnable"
        return {"chan_receive_nil": "chan receive (nil chan)",
                "chan_send_nil": "chan send (nil chan)",
                "select_no_cases": "select (no cases)",
                "blocking_call_end": "blocking call",
                "io_wait": "IO wait"}.get(reason, reason.replace("_", " "))

    def frames(self):
        """The sites of its frames, innermost first."""
        promise_type = pointer_to("ringo::detail::PromiseBase")
        address = int(self.record["leaf"]["_M_fr_ptr"]) + PROMISE_OFFSET
        promise = gdb.Value(address).cast(promise_type)
        sites = []
        while promise != 0:
            site = Site(promise["site"])
            if not site.wrapping():
                sites.append(site)
            promise = promise["parent"]
        return sites


def goroutines():
    # By its linker symbol: optimised code may describe no type of a function's static variable.
    place = gdb.parse_and_eval("(unsigned long) &'ringo::detail::RecordPool::instance()::pool'")
    pool = place.cast(pointer_to("ringo::detail::RecordPool").pointer()).dereference()
    found = []
    slab = atomic(pool["slabs_"]) if pool != 0 else 0
    while slab != 0:
        records = slab["records"]
        first, last = records.type.range()
        for at in range(first, last + 1):
            record = records[at]
            state = enumerator(atomic(record["state"]))
            if state not in ("free", "finished") and record["leaf"]["_M_fr_ptr"] != 0:
                found.append(Goroutine(record))
        slab = slab["next"]
    found.sort(key=lambda g: (int(g.record["runtime_id"]), not g.is_main, g.id))
    return found


def running_records():
    """Addresses of the records that some worker runs."""
    found = set()
    place = gdb.parse_and_eval(
        "(unsigned long) &'ringo::detail::(anonymous namespace)::first_runtime'")
    # An atomic pointer is its pointer.
    runtime = place.cast(pointer_to("ringo::detail::Runtime").pointer()).dereference()
    while runtime != 0:
        vector = runtime["workers_"]["_M_impl"]
        at = vector["_M_start"]
        while at != vector["_M_finish"]:
            # A unique_ptr is its pointer.
            worker_type = pointer_to("ringo::detail::Worker").pointer()
            worker = at.cast(worker_type).dereference()
            found.add(int(atomic(worker["running_"])))
            at += 1
        runtime = atomic(runtime["next_runtime"])
    return found


class Ringo(gdb.Command):
    """Goroutines of a ringo program: ringo goroutines, ringo bt N."""

    def __init__(self):
        super().__init__("ringo", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class RingoGoroutines(gdb.Command):
    """Lists every goroutine: number, what it does or waits for, innermost place, where started."""

    def __init__(self):
        super().__init__("ringo goroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        running = running_records()
        for g in goroutines():
            frames = g.frames()
            where = " in %s at %s" % (frames[0].name(), frames[0].place()) if frames else ""
            birth = "" if g.is_main else ", created at " + g.spawn_site.place()
            print("%6d [%s]%s%s" % (g.id, g.state(running), where, birth))


class RingoBacktrace(gdb.Command):
    """ringo bt N: the await chain of goroutine N, innermost frame first."""

    def __init__(self):
        super().__init__("ringo bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument.isdigit():
            raise gdb.GdbError("ringo bt N: the number of a goroutine, see `ringo goroutines`")
        running = running_records()
        found = [g for g in goroutines() if g.id == int(argument)]
        if not found:
            raise gdb.GdbError("there is no goroutine %s" % argument)
        for g in found:
            print("goroutine %d [%s]:" % (g.id, g.state(running)))
            for at, site in enumerate(g.frames()):
                print("#%-3d %s\n\tat %s" % (at, site.name(), site.place()))
            if not g.is_main:
                of = " in goroutine %d" % g.spawner if g.spawner != 0 else ""
                print("created by %s%s\n\tat %s" %
                      (g.spawn_site.name(), of, g.spawn_site.place()))


Ringo()
RingoGoroutines()
RingoBacktrace()
