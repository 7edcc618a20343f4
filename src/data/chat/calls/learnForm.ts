import { contentKey } from '../../../shared/exactValues';
import type { Tokenizer } from '../../tokenizer/tokenizer';
import { answerEnds } from '../answerEnds';
import type { ChatVariables, Message } from '../chat';
import { commonPrefix, PLACEHOLDER } from '../probedChat';
import type { AnswerForm, ReasoningForm } from './form';
import { learnCalls } from './learnCalls';
import { callMessage, FIRST_CALL, proberOf, STYLES, type Prober } from './probe';

/** By the variables of a chat. */
const known = new WeakMap<Tokenizer, Map<string, AnswerForm>>();
/** More than a dataset has; each takes a few renderings. */
const MOST_KNOWN = 100;

/**
 * How a base's template writes calls and reasoning, learned by rendering short chats.
 *
 * @param variables Those of the chat, without which its template may fail or write otherwise.
 */
export function answerForm(tokenizer: Tokenizer, variables: ChatVariables = {}): AnswerForm {
  if (!tokenizer.has_chat_template) return { calls: null, reasoning: null, contentOpen: '' };
  const kwargs = Object.fromEntries(
    Object.entries(variables).filter(([name]) => name !== 'tools' && name !== 'documents'),
  );
  const forms = known.get(tokenizer) ?? new Map<string, AnswerForm>();
  known.set(tokenizer, forms);
  const key = contentKey(kwargs);
  const form = forms.get(key) ?? learnForm(tokenizer, kwargs);
  if (forms.size >= MOST_KNOWN) forms.clear();
  forms.set(key, form);
  return form;
}

function learnForm(tokenizer: Tokenizer, kwargs: ChatVariables): AnswerForm {
  const probe = proberOf(tokenizer, kwargs);
  const { tokens } = answerEnds(tokenizer, kwargs);
  return {
    calls: learnCalls(probe, tokens),
    reasoning: learnReasoning(probe),
    contentOpen: contentOpenOf(probe),
  };
}

const REASONING = 'quxr x';
const thinking = (message: Message): Message => ({
  ...message,
  reasoning_content: REASONING,
  thinking: REASONING,
});

/** The text around the reasoning of an answer. */
function learnReasoning(probe: Prober): ReasoningForm | null {
  const text = probe(thinking({ role: 'assistant', content: PLACEHOLDER }));
  const at = text?.indexOf(REASONING) ?? -1;
  const contentAt = text?.indexOf(PLACEHOLDER) ?? -1;
  if (text === null || at < 0 || contentAt < at) return null;
  const prompt = probe(null, true);
  const from = prompt !== null && text.startsWith(prompt) ? prompt.length : headerEnd(probe, text);
  const behind = text.slice(at + REASONING.length, contentAt);
  return { open: text.slice(from, at), close: closeOf(probe, behind) };
}

/** Where an answer begins that does not follow its prompt: where one without reasoning differs. */
function headerEnd(probe: Prober, text: string): number {
  const plain = probe({ role: 'assistant', content: PLACEHOLDER });
  const asked = probe(null);
  return Math.max(
    asked !== null && text.startsWith(asked) ? asked.length : 0,
    plain === null ? 0 : commonPrefix(text, plain),
  );
}

/** The text after reasoning, whether text or a call follows. */
function closeOf(probe: Prober, behind: string): string {
  for (const style of STYLES) {
    const text = probe(thinking(callMessage([FIRST_CALL], style)));
    const at = text?.indexOf(REASONING) ?? -1;
    if (text === null || at < 0) continue;
    const common = behind.slice(0, commonPrefix(behind, text.slice(at + REASONING.length)));
    return common.trim() === '' ? behind : common;
  }
  return behind;
}

/** The text between the prompt and the text of an answer. */
function contentOpenOf(probe: Prober): string {
  const prompt = probe(null, true);
  const plain = probe({ role: 'assistant', content: PLACEHOLDER });
  if (prompt === null || plain === null || !plain.startsWith(prompt)) return '';
  return plain.slice(prompt.length, Math.max(prompt.length, plain.indexOf(PLACEHOLDER))).trim();
}
