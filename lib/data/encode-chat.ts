// Rows of conversations: the text that the chat template makes of the messages, and which of its
// tokens the assistant says. A template may mark that itself ({% generation %}); for others, what the
// assistant says is what a message adds to the conversation before it with the prompt to speak.
import { messageOf } from "../errors.js";
import { type ChatExample, RowError } from "../tasks/task.js";
import type { ChatTemplate, RenderedChat, Span } from "../tokenizer/chat-template.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { type Limits, languageRow, type RowPlan } from "./row-plan.js";

/** Renders beginnings of one conversation. */
class Conversation {
  constructor(
    private readonly example: ChatExample,
    private readonly template: ChatTemplate,
  ) {}

  render(count: number, addGenerationPrompt: boolean): RenderedChat {
    const { messages, tools, variables } = this.example;
    const beginning = messages.slice(0, count);
    try {
      return this.template.render({ messages: beginning, tools, variables, addGenerationPrompt });
    } catch (error) {
      throw new RowError(`the chat template says: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Where a beginning ends in the whole text. */
  endOf(count: number, addGenerationPrompt: boolean, whole: string): number {
    const { text } = this.render(count, addGenerationPrompt);
    if (whole.startsWith(text)) return text.length;
    const what = addGenerationPrompt ? " and the prompt to go on" : "";
    throw new RowError(
      `the chat template renders the first ${count} messages${what} differently when more follow, so ` +
        "what the assistant says cannot be found; give a template with {% generation %} " +
        "(data.chatTemplate), or set data.completionOnlyLoss to false",
    );
  }
}

/** The text of a conversation, and what of it is to be predicted. @throws RowError */
export function renderChat(
  example: ChatExample,
  template: ChatTemplate,
): { text: string; predicted: readonly Span[] } {
  const { messages, promptMessages = 0, predictPrompt = false } = example;
  const conversation = new Conversation(example, template);
  const { text, generated } = conversation.render(messages.length, false);
  if (predictPrompt) return { text, predicted: [[0, text.length]] };
  const from = promptMessages > 0 ? conversation.endOf(promptMessages, true, text) : 0;
  const predicted: Span[] = [];
  if (generated) {
    for (const [start, end] of generated) {
      if (end > from) predicted.push([Math.max(start, from), end]);
    }
  } else {
    for (const [index, { role }] of messages.entries()) {
      if (role !== "assistant" || index < promptMessages) continue;
      const start = conversation.endOf(index, true, text);
      const isLast = index + 1 === messages.length;
      predicted.push([start, isLast ? text.length : conversation.endOf(index + 1, false, text)]);
    }
  }
  if (predicted.length > 0) return { text, predicted };
  throw new RowError("has nothing that the assistant says");
}

/** Position in code points of a position in UTF-16 units. */
function codePoints(text: string, position: number): number {
  const pairs = text.slice(0, position).match(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g);
  return position - (pairs?.length ?? 0);
}

export function planChat(example: ChatExample, tokenizer: TextEncoder, limits: Limits): RowPlan {
  const { text, predicted } = renderChat(example, tokenizer.chatTemplate(example.template));
  const spans = predicted.map((span) => span.map((position) => codePoints(text, position)));
  return {
    texts: [text],
    finish([encoding]) {
      const offsets = encoding?.offsets() ?? [];
      // A token that a span shares with its surroundings is predicted, as transformers has it.
      const labels = offsets.map(([start, end]) =>
        spans.some(([from = 0, to = 0]) => start < to && Math.max(end, start + 1) > from),
      );
      return languageRow(encoding?.ids ?? [], labels, limits);
    },
  };
}
