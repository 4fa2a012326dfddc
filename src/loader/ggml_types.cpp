// Numbers from ggml.h of llama.cpp and of ik_llama.cpp.
#include "loader/ggml_types.hpp"

#include <string_view>

namespace ktx::loader {

namespace {

struct Row {
  uint32_t type;
  std::string_view name;
};

constexpr Row llama_cpp[] = {
    {4, "q4_2"},        {5, "q4_3"},        {9, "q8_1"},   {15, "q8_k"},  {24, "i8"},
    {25, "i16"},        {26, "i32"},        {27, "i64"},   {28, "f64"},   {31, "q4_0_4_4"},
    {32, "q4_0_4_8"},   {33, "q4_0_8_8"},   {34, "tq1_0"}, {35, "tq2_0"}, {36, "iq4_nl_4_4"},
    {37, "iq4_nl_4_8"}, {38, "iq4_nl_8_8"}, {40, "nvfp4"}};

constexpr Row ik_llama_cpp[] = {
    {133, "q6_0"},       {134, "iq1_bn"},    {135, "iq2_bn"},     {136, "q8_k64"},
    {137, "iq2_k"},      {138, "iq3_k"},     {139, "iq4_k"},      {140, "iq5_k"},
    {141, "iq6_k"},      {144, "iq4_ks"},    {145, "iq2_ks"},     {146, "iq4_kss"},
    {147, "q8_k16"},     {148, "q8_k32"},    {149, "q8_kr8"},     {150, "q8_k128"},
    {151, "q8_kv"},      {152, "iq5_ks"},    {153, "iq2_kt"},     {154, "iq3_kt"},
    {155, "iq4_kt"},     {156, "iq3_ks"},    {157, "iq2_kl"},     {158, "iq1_kt"},
    {202, "q4_0_r8"},    {206, "q5_0_r4"},   {208, "q8_0_r8"},    {210, "q2_k_r4"},
    {211, "q3_k_r4"},    {212, "q4_k_r4"},   {213, "q5_k_r4"},    {214, "q6_k_r4"},
    {216, "iq2_xxs_r4"}, {217, "iq2_xs_r4"}, {218, "iq3_xxs_r4"}, {219, "iq1_s_r4"},
    {220, "iq4_nl_r4"},  {221, "iq3_s_r4"},  {222, "iq2_s_r4"},   {223, "iq4_xs_r8"},
    {229, "iq1_m_r4"},   {230, "bf16_r16"},  {233, "q6_0_r4"},    {335, "iq2_bn_r4"},
    {337, "iq2_k_r4"},   {338, "iq3_k_r4"},  {339, "iq4_k_r4"},   {340, "iq5_k_r4"},
    {344, "iq4_ks_r4"},  {352, "iq5_ks_r4"}, {398, "q8_kv_r8"},   {399, "q8_k_r8"}};

template <size_t N>
std::string_view find(const Row (&rows)[N], uint32_t type) {
  for (const Row& row : rows)
    if (row.type == type) return row.name;
  return {};
}

}  // namespace

std::string unread_type(uint32_t type) {
  std::string name(find(llama_cpp, type));
  if (const auto forked = find(ik_llama_cpp, type); !forked.empty())
    name = std::string(forked) + " of ik_llama.cpp";
  return "has ggml type " + std::to_string(type) + (name.empty() ? "" : ", " + name) +
         ", which ktx doesn't read";
}

}  // namespace ktx::loader
