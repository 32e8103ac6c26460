//! What the reader says of real programs, against what Go itself and the symbol table say of them.
