"""Eight columns of coefficients side by side: see ``_lanes.h``."""

cdef extern from "_lanes.h" nogil:
    enum:
        COLUMNS "SK_COLUMNS"
    ctypedef struct Lanes "sk_lanes":
        pass
    ctypedef struct Sides "sk_sides":
        double[8] rho, intercept, sum, sum_before, rise, bend, ahead, mix
    ctypedef struct OfRow "sk_of_row":
        float weight
        float norm
        float offset
        int bits
    ctypedef struct Row "sk_row":
        float[8] p, change
    ctypedef struct Bend "sk_parabola":
        float centre
        float dead
        float below
        float above
        float low
        float high
    ctypedef struct Search "sk_search":
        double[8] target, point, slope, bend
    void clear_lanes "sk_clear_lanes"(Lanes* sum) noexcept
    void add_line "sk_add_line"(Lanes* sum, float x, const float* line) noexcept
    void add_shrunk_line "sk_add_shrunk_line"(Lanes* sum, float x, const float* line, const float* by) noexcept
    void store_lanes "sk_store_lanes"(float* out, const Lanes* even, const Lanes* odd) noexcept
    void add_to_line "sk_add_to_line"(float* line, float x, const float* change) noexcept
    void advance_line "sk_advance_line"(float* v, float* before, float* mean, const float* ahead, const float* mix,
                                        const float* by) noexcept
    ctypedef struct Sums "sk_sums":
        pass
    void clear_sums "sk_clear_sums"(Sums* sums) noexcept
    void add_way "sk_add_way"(Sums* fall, Sums* way, const float* v, const float* before, const float* by) noexcept
    void add_sums "sk_add_sums"(Sums* sums, const Sums* others) noexcept
    bint has_any "sk_has_any"(const double* line) noexcept
    void sum_line "sk_sum_line"(Sums* sums, double x, const float* line) noexcept
    void store_sums "sk_store_sums"(double* out, const Sums* sums) noexcept
    void add_line_to "sk_add_line_to"(double* line, double x, const double* change) noexcept
    void begin_row "sk_begin_row"(const Sides* s, const OfRow* of, const float* u, const float* before,
                                  Row* row) noexcept
    int end_row "sk_end_row"(Sides* s, Row* row, float* u, float* before, float* part) noexcept
    int bring_back "sk_bring_back"(Sides* s, const OfRow* of, const Bend* f, const float* u, const float* before,
                                   Row* row) noexcept
    bint parabolic_lanes "sk_parabolic_lanes"(const Bend* f, Row* row) noexcept
    bint begin_search "sk_begin_search"(const Row* row, const float* at, double y, Search* s) noexcept
    void bracket "sk_bracket"(Row* row, const float* at, const float* bend, Search* s) noexcept
    bint search_on "sk_search_on"(const Row* row, double part, Search* s) noexcept
    void narrow "sk_narrow"(const Row* row, Search* s) noexcept
    void end_search "sk_end_search"(const Search* s, Row* row, float* at, float* bend) noexcept
