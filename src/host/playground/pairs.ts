import { parseExactly } from '../../shared/exactJson';
import { exactText } from '../../shared/exactText';
import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';

/**
 * A row of preferences in TRL's form from two rows that differ in their answers: prompt, chosen and
 * rejected, as messages for a chat, else as texts. Null: they are no answers to one question.
 */
export function pairOf(chosen: string, rejected: string): string | null {
  const [better, worse] = [rowIn(chosen), rowIn(rejected)];
  if (!better || !worse) return null;
  return chatPair(better, worse) ?? textPair(better, worse);
}

type Columns = Readonly<Record<string, unknown>>;

function rowIn(text: string): Columns | null {
  try {
    const value = asPlainObject(parseExactly(text));
    return isObject(value) && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function chatPair(better: Columns, worse: Columns): string | null {
  const [chat, other] = [better['messages'], worse['messages']];
  if (!Array.isArray(chat) || !Array.isArray(other)) return null;
  const prompt = chat.slice(0, -1);
  const rest = (columns: Columns): Columns =>
    Object.fromEntries(Object.entries(columns).filter(([key]) => key !== 'messages'));
  const isSame = (a: unknown, b: unknown) => exactText(a) === exactText(b);
  if (!isSame(prompt, other.slice(0, -1)) || !isSame(rest(better), rest(worse))) return null;
  if (prompt.length === 0 || isSame(chat.at(-1), other.at(-1))) return null;
  const pair = { prompt, chosen: chat.slice(-1), rejected: other.slice(-1) };
  return exactText({ ...pair, ...rest(better) });
}

function textPair(better: Columns, worse: Columns): string | null {
  const { prompt, completion: chosen } = better;
  const { completion: rejected } = worse;
  if (typeof prompt !== 'string' || prompt !== worse['prompt'] || chosen === rejected) return null;
  return exactText({ prompt, chosen, rejected });
}
