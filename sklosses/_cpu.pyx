"""The instruction-set level of the CPU that runs this process."""

cdef extern from *:
    """
    static int sklosses_cpu_level(void)
    {
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
        /* A representative subset of each level of the x86-64 psABI; a CPU has all of a level's features or
           misses one of these. The builtins ask the operating system too whether it saves the registers. */
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")))
            return 0;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl")))
            return 3;
        return 4;
    #else
        return 0;
    #endif
    }
    """
    int sklosses_cpu_level() nogil


def cpu_level():
    """The highest level this CPU runs: ``"baseline"``, ``"v3"`` or ``"v4"`` (x86-64-v3 and -v4)."""
    return {0: "baseline", 3: "v3", 4: "v4"}[sklosses_cpu_level()]
