// Names of types that ktx doesn't read.
#include "loader/ggml_types.hpp"

#include "catch.hpp"

using ktx::loader::unread_type;

TEST_CASE("unread types are named, with the program that makes them") {
  CHECK(unread_type(26) == "has ggml type 26, i32, which ktx doesn't read");
  CHECK(unread_type(144) == "has ggml type 144, iq4_ks of ik_llama.cpp, which ktx doesn't read");
  CHECK(unread_type(337) == "has ggml type 337, iq2_k_r4 of ik_llama.cpp, which ktx doesn't read");
  CHECK(unread_type(1000) == "has ggml type 1000, which ktx doesn't read");
}
