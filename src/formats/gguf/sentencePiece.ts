/** llama_token_type of llama.cpp. */
export const TOKEN_TYPE = { unknown: 2, control: 3, user_defined: 4, unused: 5, byte: 6 } as const;

/**
 * Parts of tokenizer.json for SentencePiece's BPE, as transformers converts it: spaces become ▁, a
 * text gets one in front, and unknown characters become bytes.
 */
export function sentencePieceParts(add_space_prefix: boolean) {
  const escape = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const unescape = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [...(add_space_prefix ? [{ type: 'Prepend', prepend: '▁' }] : []), escape],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        unescape,
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(add_space_prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
  };
}

interface Merge {
  readonly left: string;
  readonly right: string;
  readonly score: number;
  readonly lengths: readonly [number, number];
}

/**
 * The merges of a SentencePiece vocabulary, which joins the two neighbours whose piece has the best
 * score: one for each way to compose a piece of two others, best score first (generate_merges of
 * transformers). Control, unknown and byte pieces take no part.
 */
export function mergesFromScores(
  tokens: readonly string[],
  scores: readonly number[],
  types: readonly number[],
): [string, string][] {
  const excluded: ReadonlySet<number | undefined> = new Set([
    TOKEN_TYPE.unknown,
    TOKEN_TYPE.control,
    TOKEN_TYPE.byte,
  ]);
  const ids = new Map(
    tokens.flatMap((token, id) => (excluded.has(types[id]) ? [] : [[token, id] as const])),
  );
  const merges = [...ids].flatMap(([token, id]) => compositionsOf(token, scores[id] ?? 0, ids));
  merges.sort(
    (a, b) => b.score - a.score || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1],
  );
  return merges.map(({ left, right }) => [left, right]);
}

function compositionsOf(token: string, score: number, ids: ReadonlyMap<string, number>): Merge[] {
  const chars = Array.from(token);
  const found: Merge[] = [];
  for (let i = 1, at = 0; i < chars.length; i++) {
    at += chars[i - 1]!.length;
    const [left, right] = [token.slice(0, at), token.slice(at)];
    if (ids.has(left) && ids.has(right))
      found.push({ left, right, score, lengths: [i, chars.length - i] });
  }
  return found;
}
