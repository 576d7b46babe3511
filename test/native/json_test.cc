#include "core/json.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "check.h"
#include "core/utf8.h"
#include "files.h"

namespace zo2::test {

namespace {

Json parse(std::string_view text) { return Json::parse(text, "test.json"); }

void check_refused(std::string_view text, const std::string& reason) {
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"test.json: not valid JSON at byte ", reason}),
               parse(text));
}

}  // namespace

TEST_CASE("json: values and their order survive") {
  const std::string text =
      R"({"b":[1,-2,0.5,1e+300,true,false,null,"x"],"a":{},"c":[],"":{"z":1,"y":2}})";
  CHECK_EQ(parse(text).dump(), text);
  CHECK_EQ(parse(" \t\r\n[ 1 , 2 ] \n").dump(), "[1,2]");
  CHECK_EQ(parse("7").integer(), 7);
}

TEST_CASE("json: integers are exact to 63 bits, beyond they become doubles") {
  CHECK_EQ(parse("9223372036854775807").integer(), std::numeric_limits<int64_t>::max());
  CHECK_EQ(parse("-9223372036854775808").integer(), std::numeric_limits<int64_t>::min());
  CHECK_EQ(parse("9007199254740993").dump(), "9007199254740993");
  CHECK(parse("9223372036854775808").type() == Json::Type::kNumber);
  CHECK_EQ(Json(uint64_t{1} << 63).number(), 0x1p63);
  CHECK_EQ(parse("3.0").integer(), 3);
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"an integer"}), parse("3.5").integer());
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"an integer"}), parse("1e300").integer());
  CHECK(std::signbit(parse("-0").number()));
}

TEST_CASE("json: doubles are dumped by the shortest digits that parse back") {
  CHECK_EQ(Json(0.1).dump(), "0.1");
  CHECK_EQ(Json(1e-5).dump(), "1e-05");
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const Json back = parse(Json(value).dump());
    CHECK_EQ(std::bit_cast<uint64_t>(back.number()), std::bit_cast<uint64_t>(value));
  }
  CHECK_EQ(Json(Json::Array{std::nan(""), HUGE_VAL, -HUGE_VAL}).dump(), "[null,null,null]");
}

TEST_CASE("json: strings, escapes and surrogate pairs") {
  CHECK_EQ(parse(R"("\"\\\/\b\f\n\r\t")").string(), "\"\\/\b\f\n\r\t");
  CHECK_EQ(parse(R"("\u0041\u00e9\u20AC\ud83d\ude00")").string(),
           "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK_EQ(parse(R"("\u0000")").string(), std::string(1, '\0'));
  CHECK_EQ(Json(std::string("\x01\x1f\"\\\n\0", 6)).dump(), R"("\u0001\u001f\"\\\n\u0000")");
  CHECK_EQ(Json("\xc3\xa9\xff").dump(), "\"\xc3\xa9\xef\xbf\xbd\"");
  for (const char* text : {R"("\ud83d")", R"("\ud83d\u0041")", R"("\ude00")", R"("\ud83dx")"}) {
    check_refused(text, "surrogate");
  }
  for (const char* text : {R"("\u12g4")", R"("\u12")", R"("\u+123")", R"("\u-123")"}) {
    check_refused(text, "hex");
  }
  check_refused(R"("\x")", "unknown escape");
  check_refused("\"a\nb\"", "control character");
  check_refused("\"abc", "does not end");
  check_refused("\"abc\\", "unknown escape");
}

TEST_CASE("json: what is not UTF-8 is refused") {
  for (const char* bytes : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                            "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                            "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x28\xa1"}) {
    check_refused("\"" + std::string(bytes) + "\"", "not UTF-8");
    CHECK(!is_valid_utf8(bytes));
  }
  for (const uint32_t c :
       {0x0u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xd7ffu, 0xe000u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string text;
    append_utf8(c, text);
    CHECK(is_valid_utf8(text));
  }
}

TEST_CASE("json: strict grammar") {
  for (const char* text :
       {"",    " ",          "01",      "-",        "+1",    ".5",    "1.",        "1.e5", "1e",
        "1e+", "0x1",        "NaN",     "Infinity", "tru",   "nulll", "[1,]",      "[,]",  "[1 2]",
        "[1",  "{\"a\":1,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{1:2}", "{\"a\" 1}", "{",    "[",
        "\"",  "1 1",        "{}{}",    "// x",     "'a'",   "-a",    "]"}) {
    check_refused(text, "");
  }
  check_refused(std::string_view("1\0", 2), "text after");
  check_refused("1e999", "range");
}

TEST_CASE("json: depth is limited") {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK_EQ(parse(nested(64)).dump(), nested(64));
  check_refused(nested(66), "nested deeper than 64");
  check_refused(std::string(1 << 20, '['), "nested deeper");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  check_refused(objects, "nested deeper");
}

TEST_CASE("json: duplicate keys are refused, large objects are not quadratic") {
  check_refused(R"({"a":1,"b":2,"a":3})", "\"a\" appears twice");
  check_refused(R"([{"a":1,"\u0061":3}])", "\"a\" appears twice");
  CHECK_EQ(parse(R"({"a":{"a":1},"b":{"a":1}})").members().size(), 2u);
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += "\"key" + std::to_string(i) + "\":0,";
  CHECK_EQ(parse(text + "\"last\":0}").members().size(), 300001u);
  check_refused(text + "\"key7\":0}", "\"key7\" appears twice");
}

TEST_CASE("json: access is checked") {
  Json object = Json::object();
  object.set("a", Json(1));
  object.set("n", Json());
  object.set("a", Json("two"));
  CHECK_EQ(object.dump(), R"({"a":"two","n":null})");
  CHECK(object.find("n") == nullptr);
  CHECK(object.find("missing") == nullptr);
  CHECK_EQ(object.find("a")->string(), "two");
  Json array = Json::array();
  array.push(Json(true));
  CHECK(array.items()[0].boolean());
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"an object", "an array"}), array.find("a"));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"a string", "null"}), Json().string());
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"an array"}), object.push(Json(1)));
}

TEST_CASE("json: damaged text parses to something that survives, or throws") {
  const std::string text =
      R"({"name":"caf\u00e9 \ud83d\ude00","list":[1,2.5,-3e-7,true,null],"deep":[[[{"a":[]}]]]})";
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    const std::string bytes = damaged(text, text.size(), random);
    try {
      const std::string once = parse(bytes).dump();
      CHECK_EQ(parse(once).dump(), once);
    } catch (const Error& error) {
      CHECK_EQ(error.code(), ErrorCode::kInvalidModel);
    }
  }
}

}  // namespace zo2::test
