//! What SQL tests cannot say.

mod layers;
