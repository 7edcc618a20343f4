import { PRE_TOKENIZERS } from '../../formats/gguf/preTokenizers';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';

type Config = Readonly<Record<string, unknown>>;

/** The parts of tokenizer.json that are sequences of steps, with the key of the steps. */
const PARTS = {
  normalizer: 'normalizers',
  pre_tokenizer: 'pretokenizers',
  post_processor: 'processors',
  decoder: 'decoders',
} as const;
type Part = keyof typeof PARTS;

/** All far above what published tokenizers have. */
const MOST_STEPS = 128;
const MOST_DEPTH = 8;
const MOST_TOKENS = 1 << 21;
const MOST_ADDED = 1 << 17;
const MOST_MERGES = 1 << 22;
const MOST_ITEMS = 256;
const LARGEST_ID = 1 << 24;
const LONGEST_CONTENT = 64;
const LONGEST_PATTERN = 1 << 14;
const LONGEST_ADDED = 1 << 10;
const LONGEST_PIECE = 256;
const LONGEST_WORD = 1_000;
/** The longest word of WordPiece that needs no deadline. */
const USUAL_WORD = 128;
/** The same for tokens of Unigram: for each character, tokens up to it meet those from it on. */
const USUAL_PIECE = 32;

export interface Limits {
  /**
   * Work with the tokenizer must have a deadline: its regular expressions are not those of
   * published tokenizers, so they may backtrack; or its words or tokens are unusually long.
   */
  readonly needsDeadline: boolean;
}

interface Step {
  readonly config: Config;
  /** Where it is in tokenizer.json: normalizer.normalizers.3 */
  readonly key: string;
}

/**
 * Refuses a tokenizer.json that would take unlimited time or memory.
 *
 * @param source Named in errors.
 * @throws LoraError('tokenizer') naming the key.
 */
export function checkLimits(tokenizer: Config, source: string): Limits {
  const refuse = refusal(source);
  const steps = (Object.keys(PARTS) as Part[]).flatMap((part) => stepsOf(tokenizer, part, refuse));
  for (const step of steps) checkStep(step, refuse);
  checkModel(isObject(tokenizer['model']) ? tokenizer['model'] : {}, refuse);
  return { needsDeadline: !hasUsualLengths(tokenizer) || steps.some(mayBacktrack) };
}

/** @throws LoraError('tokenizer') for added tokens, of any file, that are too many or too large. */
export function checkAddedLimits(tokens: readonly Config[], source: string): void {
  const refuse = refusal(source);
  if (tokens.length > MOST_ADDED) refuse('added_tokens', `has ${tokens.length} tokens`);
  for (const { id, content } of tokens) {
    if (typeof id === 'number' && id > LARGEST_ID) refuse('added_tokens', `has the id ${id}`);
    if (typeof content === 'string' && content.length > LONGEST_ADDED)
      refuse('added_tokens', `has a token of ${content.length} characters`);
  }
}

type Refuse = (key: string, what: string) => never;

function refusal(source: string): Refuse {
  return (key, what) => {
    throw new LoraError(
      'tokenizer',
      `The tokenizer cannot be used: "${key}" ${what}, which is beyond any usual tokenizer.`,
      {
        place: { file: source, key },
        fix: 'Download the model again from its publisher, or use a base model with another tokenizer.',
      },
    );
  };
}

/** All steps of a part, those of sequences too. */
function stepsOf(tokenizer: Config, part: Part, refuse: Refuse): Step[] {
  const steps: Step[] = [];
  const visit = (config: unknown, key: string, depth: number) => {
    if (!isObject(config)) return;
    if (depth > MOST_DEPTH) refuse(part, `has sequences nested more than ${MOST_DEPTH} deep`);
    if (steps.push({ config, key }) > MOST_STEPS) refuse(part, `has more than ${MOST_STEPS} steps`);
    const inner = config['type'] === 'Sequence' ? listOf(config[PARTS[part]]) : [];
    inner.forEach((own, i) => visit(own, `${key}.${PARTS[part]}.${i}`, depth + 1));
  };
  visit(tokenizer[part], part, 1);
  return steps;
}

const CONTENTS = ['content', 'prepend', 'replacement', 'str_rep', 'prefix', 'suffix', 'cleanup'];

function checkStep({ config, key }: Step, refuse: Refuse): void {
  for (const name of CONTENTS) {
    const value = config[name];
    if (typeof value === 'string' && value.length > LONGEST_CONTENT)
      refuse(`${key}.${name}`, `has ${value.length} characters`);
  }
  if (expressionOf(config).length > LONGEST_PATTERN)
    refuse(`${key}.pattern`, `has ${expressionOf(config).length} characters`);
  if (textOf(config).length > LONGEST_PATTERN)
    refuse(`${key}.pattern`, `has ${textOf(config).length} characters`);
  if (config['type'] === 'FixedLength' && !isCount(config['length']))
    refuse(`${key}.length`, `is ${JSON.stringify(config['length'])}`);
  for (const name of ['single', 'pair']) {
    const items = listOf(config[name]).length;
    if (items > MOST_ITEMS) refuse(`${key}.${name}`, `has ${items} items`);
  }
}

function checkModel(model: Config, refuse: Refuse): void {
  const merges = listOf(model['merges']).length;
  if (merges > MOST_MERGES) refuse('model.merges', `has ${merges} merges`);
  const { vocab } = model;
  if (Array.isArray(vocab)) checkPieces(vocab, refuse);
  else if (isObject(vocab)) checkIds(vocab, refuse);
  const longest = model['max_input_chars_per_word'];
  if (longest !== undefined && longest !== null && !(isCount(longest) && longest <= LONGEST_WORD))
    refuse('model.max_input_chars_per_word', `is ${JSON.stringify(longest)}`);
}

function checkPieces(vocab: readonly unknown[], refuse: Refuse): void {
  if (vocab.length > MOST_TOKENS) refuse('model.vocab', `has ${vocab.length} tokens`);
  for (const [i, piece] of vocab.entries()) {
    const length = pieceLength(piece);
    if (length > LONGEST_PIECE) refuse(`model.vocab.${i}`, `has ${length} characters`);
  }
}

/** Of a token of Unigram, which is its text and its score. */
function pieceLength(piece: unknown): number {
  const text: unknown = Array.isArray(piece) ? piece[0] : undefined;
  return typeof text === 'string' ? text.length : 0;
}

function checkIds(vocab: Config, refuse: Refuse): void {
  let tokens = 0;
  for (const token in vocab) {
    const id = vocab[token];
    if (++tokens > MOST_TOKENS) refuse('model.vocab', `has more than ${MOST_TOKENS} tokens`);
    if (!(Number.isInteger(id) && (id as number) >= 0 && (id as number) <= LARGEST_ID))
      refuse('model.vocab', `has the id ${JSON.stringify(id)}`);
  }
}

function hasUsualLengths({ model }: Config): boolean {
  if (!isObject(model)) return true;
  const longest = model['max_input_chars_per_word'] ?? 0;
  if (!(typeof longest === 'number' && longest <= USUAL_WORD)) return false;
  return listOf(model['vocab']).every((piece) => pieceLength(piece) <= USUAL_PIECE);
}

const PUBLISHED: ReadonlySet<string> = new Set(
  [...PRE_TOKENIZERS.values()].flatMap(({ splits }) => splits),
);

/** One character, class or property, perhaps repeated. */
const ONE_ATOM =
  /^(?:[^\\()[\]{}*+?|.^$]|\\[^1-9k]|\\[pP]\{\w+\}|\[(?:[^\\[\]]|\\.)+\])(?:[*+?]|\{\d+(?:,\d*)?\})?$/su;

function mayBacktrack({ config }: Step): boolean {
  const expression = expressionOf(config);
  return !(expression === '' || PUBLISHED.has(expression) || ONE_ATOM.test(expression));
}

function textOf({ pattern }: Config): string {
  const text = isObject(pattern) ? pattern['String'] : pattern;
  return typeof text === 'string' ? text : '';
}

function expressionOf({ pattern }: Config): string {
  const regex = isObject(pattern) ? pattern['Regex'] : undefined;
  return typeof regex === 'string' ? regex : '';
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
