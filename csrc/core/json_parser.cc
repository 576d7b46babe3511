#include <algorithm>
#include <charconv>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "core/utf8.h"

namespace zo2 {

namespace {

constexpr int kMaxDepth = 64;

// Recursive descent over RFC 8259, nothing more: no comments, no NaN, no trailing commas.
class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  Json parse_document() {
    Json value = parse_value(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::kInvalidModel,
                what_ + ": not valid JSON at byte " + std::to_string(at_) + ": " + reason);
  }

  // The character at the cursor; NUL at the end (a NUL in the text is an error wherever it stands).
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void skip_space() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++at_;
  }

  Json parse_value(int depth) {
    if (depth > kMaxDepth) fail("nested deeper than " + std::to_string(kMaxDepth));
    skip_space();
    if (at_ >= text_.size()) fail("the text ends where a value is expected");
    switch (peek()) {
      case '{': return parse_object(depth);
      case '[': return parse_array(depth);
      case '"': return Json(parse_string());
      case 't': parse_word("true"); return Json(true);
      case 'f': parse_word("false"); return Json(false);
      case 'n': parse_word("null"); return Json();
      default: return parse_number();
    }
  }

  void parse_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) fail("a value is expected");
    at_ += word.size();
  }

  Json parse_array(int depth) {
    Json::Array items;
    ++at_;
    skip_space();
    if (take(']')) return Json(std::move(items));
    do {
      items.push_back(parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) fail("',' or ']' is expected");
    return Json(std::move(items));
  }

  Json parse_object(int depth) {
    Json::Object members;
    ++at_;
    skip_space();
    if (take('}')) return Json(std::move(members));
    do {
      skip_space();
      if (peek() != '"') fail("a key is expected");
      std::string key = parse_string();
      skip_space();
      if (!take(':')) fail("':' is expected");
      members.emplace_back(std::move(key), parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take('}')) fail("',' or '}' is expected");
    refuse_duplicates(members);
    return Json(std::move(members));
  }

  void refuse_duplicates(const Json::Object& members) const {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const auto& member : members) keys.emplace_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) {
      fail("the key \"" + std::string(*twice) + "\" appears twice in the object that ends here");
    }
  }

  std::string parse_string() {
    std::string out;
    ++at_;
    for (;;) {
      const size_t start = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') {
        if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("a control character in a string");
        const size_t n = utf8_sequence_bytes(text_, at_);
        if (n == 0) fail("a string is not UTF-8");
        at_ += n;
      }
      out.append(text_, start, at_ - start);
      if (at_ >= text_.size()) fail("a string does not end");
      if (take('"')) return out;
      ++at_;
      parse_escape(out);
    }
  }

  void parse_escape(std::string& out) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '"': out += '"'; return;
      case '\\': out += '\\'; return;
      case '/': out += '/'; return;
      case 'b': out += '\b'; return;
      case 'f': out += '\f'; return;
      case 'n': out += '\n'; return;
      case 'r': out += '\r'; return;
      case 't': out += '\t'; return;
      case 'u': append_utf8(parse_code_point(), out); return;
      default: --at_; fail("an unknown escape");
    }
  }

  // After "\u"; joins a surrogate pair.
  uint32_t parse_code_point() {
    const uint32_t first = parse_hex4();
    if (first < 0xd800 || first > 0xdfff) return first;
    if (first > 0xdbff || !take('\\') || !take('u')) fail("half of a surrogate pair");
    const uint32_t second = parse_hex4();
    if (second < 0xdc00 || second > 0xdfff) fail("half of a surrogate pair");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  uint32_t parse_hex4() {
    uint32_t value = 0;
    const std::string_view digits = text_.substr(std::min(at_, text_.size()), 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || result.ptr != digits.data() + 4) fail("four hex digits are expected");
    at_ += 4;
    return value;
  }

  size_t skip_digits() {
    const size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - start;
  }

  Json parse_number() {
    const size_t start = at_;
    bool integral = true;
    take('-');
    if (!take('0') && skip_digits() == 0) {
      at_ = start;
      fail("a value is expected");
    }
    if (take('.')) {
      integral = false;
      if (skip_digits() == 0) fail("a digit is expected");
    }
    if (peek() == 'e' || peek() == 'E') {
      integral = false;
      ++at_;
      if (!take('-')) take('+');
      if (skip_digits() == 0) fail("a digit is expected");
    }
    const std::string_view digits = text_.substr(start, at_ - start);
    const char* end = digits.data() + digits.size();
    int64_t integer = 0;
    // "-0" is left to the double, which has a negative zero.
    if (integral && digits != "-0" &&
        std::from_chars(digits.data(), end, integer).ec == std::errc()) {
      return Json(integer);
    }
    double number = 0;
    if (std::from_chars(digits.data(), end, number).ec != std::errc()) {
      fail("a number out of the range of a double");
    }
    return Json(number);
  }

  std::string_view text_;
  const std::string& what_;
  size_t at_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text, const std::string& what) {
  return JsonParser(text, what).parse_document();
}

}  // namespace zo2
