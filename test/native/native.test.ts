import t from "tap";
import { nativeCases } from "../support/native-cases.js";

t.test("native unit tests", (t) => nativeCases(t, "build/cmake/test/native/zo2_native_tests"));
