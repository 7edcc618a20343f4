interface StepConfig {
  readonly type?: string;
  readonly behavior?: string;
  readonly invert?: boolean;
  readonly use_regex?: boolean;
  readonly add_prefix_space?: boolean;
}

interface Options {
  readonly section_index?: number;
}

/** A pre-tokenizer of the library. A sequence has `tokenizers`. */
export interface PreTokenizerStep {
  readonly config?: StepConfig;
  readonly pattern?: unknown;
  readonly tokenizers?: readonly (PreTokenizerStep | null)[];
  pre_tokenize(text: string | readonly string[], options: Options): string[];
}

export interface PreTokenizer {
  readonly split: (text: string, options: Options) => string[];
  /** Whether the pieces are to be encoded as bytes, which `split` leaves undone. */
  readonly isByteLevel: boolean;
}

type Run = (pieces: readonly string[], options: Options) => string[];

/**
 * A pre-tokenizer with steps that split at a regular expression done faster. A last step that
 * writes bytes as characters is left out.
 */
export function preTokenizerOf(step: PreTokenizerStep | null): PreTokenizer {
  const steps = flattened(step);
  const isByteLevel = writesBytes(steps.at(-1));
  const runs = (isByteLevel ? steps.slice(0, -1) : steps).map(runOf);
  return {
    isByteLevel,
    split: (text, options) => runs.reduce((pieces, run) => run(pieces, options), [text]),
  };
}

function flattened(step: PreTokenizerStep | null): PreTokenizerStep[] {
  if (step === null) return [];
  return step.tokenizers === undefined ? [step] : step.tokenizers.flatMap(flattened);
}

const writesBytes = (step: PreTokenizerStep | undefined): boolean =>
  step?.config?.type === 'ByteLevel' &&
  step.config.use_regex === false &&
  step.config.add_prefix_space !== true;

function runOf(step: PreTokenizerStep): Run {
  const { config, pattern } = step;
  const isolates =
    config?.type === 'Split' && config.behavior === 'Isolated' && config.invert === false;
  if (!isolates || !(pattern instanceof RegExp))
    return (pieces, options) => step.pre_tokenize(pieces, options);
  return (pieces) => {
    const parts: string[] = [];
    for (const piece of pieces) splitInto(parts, piece, pattern);
    return parts;
  };
}

/** The matches of an expression, and what lies between them. */
function splitInto(parts: string[], text: string, pattern: RegExp): void {
  pattern.lastIndex = 0;
  const matches = text.match(pattern);
  if (matches === null) {
    if (text !== '') parts.push(text);
    return;
  }
  let covered = 0;
  for (const match of matches) covered += match.length;
  if (covered < text.length) {
    splitWithGaps(parts, text, pattern);
    return;
  }
  for (const match of matches) if (match !== '') parts.push(match);
}

function splitWithGaps(parts: string[], text: string, pattern: RegExp): void {
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (end < match.index) parts.push(text.slice(end, match.index));
    if (match[0] !== '') parts.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push(text.slice(end));
}
