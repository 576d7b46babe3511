// Answers in words: SQuAD's normalisation, F1 and exact match, against values worked out by hand.
import t from "tap";
import { answerF1, exactMatch, normalizeAnswer } from "zo2";

t.test("answers", (t) => {
  const cases: [answer: string, right: string[], normal: string, f1: number, exact: number][] = [
    ["The Eiffel tower!", ["Eiffel Tower"], "eiffel tower", 1, 1],
    // 2 of 4 words, and both of 2: 2 · 0.5 · 1 / 1.5; "tower" alone would be 2 · 0.25 · 1 / 1.25.
    ["in the old Eiffel tower", ["tower", "Eiffel Tower"], "in old eiffel tower", 2 / 3, 0],
    // A word counts as often as both have it.
    ["cat cat dog", ["cat dog dog"], "cat cat dog", 2 / 3, 0],
    ["", ["x"], "", 0, 0],
    ["the", ["a"], "", 0, 1],
    ["una España a", ["España, una"], "una españa", 1, 0],
    ["No answer.", ["no answer", "x"], "no answer", 1, 1],
    ["x", ["no answer", "x"], "x", 0, 1],
    ["12 km.", ["12", "12 km"], "12 km", 1, 1],
    ["U.S.-led", ["us led"], "usled", 0, 0],
    [" \u201Cso\u201D \n it's ", ["its"], "\u201Cso\u201D its", 2 / 3, 0],
    ["an_a the", ["ana"], "ana", 1, 1],
    ["[\\]^`{|}~ x", ["x"], "x", 1, 1],
  ];
  for (const [answer, right, normal, f1, exact] of cases) {
    t.equal(normalizeAnswer(answer), normal, answer);
    t.ok(Math.abs(answerF1(answer, right) - f1) < 1e-15, `F1 of ${answer}`);
    t.equal(exactMatch(answer, right), exact, `exact match of ${answer}`);
  }
  t.end();
});
