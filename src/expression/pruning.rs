//! Can a predicate hold for any row whose columns lie within given bounds?
