import { RE2JS } from 're2js';
import type { ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import type { EvaluationMetricId } from '../../shared/evaluation/metrics';
import type { Check, CheckOf } from '../../shared/evaluation/suite';
import { checkCalls } from '../tasks/callScores';
import { bleuOf, bleuStatistics } from './metrics/bleu';
import { chrfOf, chrfStatistics } from './metrics/chrf';
import { schemaTest, type SchemaTest } from './metrics/jsonSchema';
import { rougeL } from './metrics/rougeL';
import { UnsupportedSchema } from './metrics/schemaTests';

/** Checks of an answer's text or calls. */
export type AnswerCheck = Exclude<
  Check,
  CheckOf<'perplexity'> | CheckOf<'choice'> | CheckOf<'label'> | CheckOf<'judge'>
>;

export const isAnswerCheck = (check: Check): check is AnswerCheck =>
  !['perplexity', 'choice', 'label', 'judge'].includes(check.kind);

/** The parts of an answer that are checked. */
export type CheckedAnswer = Pick<ParsedAnswer, 'content' | 'calls' | 'isFaulty'>;

/** The score of an answer, and why it is not right. */
export interface AnswerScore {
  readonly scores: { readonly [Id in EvaluationMetricId]?: number };
  readonly reason: string;
}

/** Texts are checked up to this length, which bounds the time of the checks. */
const MOST_CHARACTERS = 100_000;

/** The text of an answer as it is checked. */
export const checkedText = (content: string): string => content.slice(0, MOST_CHARACTERS).trim();

/** Scores an answer by its row's check. */
export function checkAnswer(check: AnswerCheck, answer: CheckedAnswer): AnswerScore {
  const text = checkedText(answer.content);
  switch (check.kind) {
    case 'exact':
      return right(
        'exact',
        listOf(check.expected).some((own) => isSame(text, own.trim(), check)),
      );
    case 'contains': {
      const missing = listOf(check.expected).find((own) => !contains(text, own, check));
      return failing('contains', missing === undefined ? null : `"${missing}" is missing`);
    }
    case 'regex':
      return right('regex', patternOf(check.pattern).matcher(text).find());
    case 'json_schema':
      return failing('json_schema', schemaFault(text, testOf(check)));
    case 'numeric':
      return checkNumber(text, check);
    case 'tool_calls': {
      const checked = checkCalls(answer, { calls: callsOf(check), isFaulty: false });
      return failing('tool_calls', checked.right ? null : callFault(checked));
    }
    case 'rouge_l':
      return { scores: { rouge_l: rougeL(text, listOf(check.expected)) }, reason: '' };
    case 'chrf':
      return {
        scores: { chrf: chrfOf(chrfStatistics(text, listOf(check.expected))) },
        reason: '',
      };
    case 'bleu':
      return {
        scores: { bleu: bleuOf(bleuStatistics(text, listOf(check.expected)), true) },
        reason: '',
      };
  }
}

/** Why a check cannot be used, to follow "the check"; null: it can. */
export function checkFault(check: Check): string | null {
  try {
    if (check.kind === 'regex') patternOf(check.pattern);
    if (check.kind === 'json_schema') testOf(check);
    if (check.kind === 'choice') return choiceFault(check);
    return null;
  } catch (error) {
    if (error instanceof UnsupportedSchema) return `has a schema that ${error.message}`;
    if (check.kind === 'regex') return 'has a pattern that is not a valid RE2 regular expression';
    throw error;
  }
}

/** The index of the right choice; -1: it is none of them. */
export const rightChoice = ({ choices, expected }: CheckOf<'choice'>): number =>
  typeof expected === 'number' && expected < choices.length
    ? expected
    : choices.indexOf(String(expected));

function choiceFault(check: CheckOf<'choice'>): string | null {
  if (rightChoice(check) < 0) return 'expects none of its choices';
  const isTwice = new Set(check.choices).size < check.choices.length;
  return isTwice ? 'has a choice twice' : null;
}

/** A text, or several. */
export const listOf = (expected: string | readonly string[]): readonly string[] =>
  typeof expected === 'string' ? [expected] : expected;

const right = (metric: EvaluationMetricId, isRight: boolean): AnswerScore => ({
  scores: { [metric]: isRight ? 1 : 0 },
  reason: '',
});

const failing = (metric: EvaluationMetricId, reason: string | null): AnswerScore => ({
  scores: { [metric]: reason === null ? 1 : 0 },
  reason: reason ?? '',
});

interface Casing {
  readonly ignore_case: boolean;
}

const cased = (text: string, { ignore_case }: Casing): string =>
  ignore_case ? text.toLowerCase() : text;

const isSame = (text: string, expected: string, check: Casing): boolean =>
  cased(text, check) === cased(expected, check);

const contains = (text: string, part: string, check: Casing): boolean =>
  cased(text, check).includes(cased(part, check));

const patterns = new Map<string, RE2JS>();

/** Its time is linear in the text: a suite may be untrusted. */
function patternOf(pattern: string): RE2JS {
  const compiled = patterns.get(pattern) ?? RE2JS.compile(pattern);
  patterns.set(pattern, compiled);
  return compiled;
}

const tests = new WeakMap<object, SchemaTest>();

function testOf(check: CheckOf<'json_schema'>): SchemaTest {
  const test = tests.get(check) ?? schemaTest(check.schema);
  tests.set(check, test);
  return test;
}

function schemaFault(text: string, test: SchemaTest): string | null {
  const inner = /^```\w*\n([\s\S]*?)\n?```$/.exec(text)?.[1] ?? text;
  let value: unknown;
  try {
    value = JSON.parse(inner);
  } catch {
    return 'the answer is not JSON';
  }
  return test(value);
}

/** After a letter or digit a hyphen is no sign: 10-12, COVID-19. */
const SIGN = String.raw`(?:(?<![\p{L}\d])[-−])?`;
/** 1,234.5 */
const THOUSANDS = String.raw`(?<!\d,)[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)`;
/** 3,14 and 1.234,5, but none of 1,2,3 */
const DECIMAL_COMMA = String.raw`(?<!\d,)(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+),\d+(?!\d|,\d)`;
const PLAIN = String.raw`\d+(?:\.\d+)?|\.\d+`;
const NUMBER = new RegExp(
  String.raw`${SIGN}(?:${THOUSANDS}|(?<comma>${DECIMAL_COMMA})|${PLAIN})(?:[eE][-+]?\d+)?`,
  'gu',
);

/** The last number of a text; null: none. */
export function lastNumber(text: string): number | null {
  const last = [...text.matchAll(NUMBER)].at(-1);
  if (!last) return null;
  const number = last[0].replace('−', '-');
  const hasComma = last.groups?.['comma'] !== undefined;
  return Number(
    hasComma ? number.replaceAll('.', '').replace(',', '.') : number.replaceAll(',', ''),
  );
}

/** Doubles that are written with 15 digits may differ by this much. */
const ROUNDING = 1e-12;

function checkNumber(text: string, { expected, tolerance }: CheckOf<'numeric'>): AnswerScore {
  const number = lastNumber(text);
  if (number === null) return failing('numeric', 'the answer has no number');
  const slack = tolerance + ROUNDING * Math.abs(expected);
  const isRight = Math.abs(number - expected) <= slack;
  return failing('numeric', isRight ? null : `the number is ${number}`);
}

const callsOf = ({ expected }: CheckOf<'tool_calls'>) =>
  expected.map(({ name, arguments: value }) => ({ name, arguments: value }));

function callFault({ parsed, named }: ReturnType<typeof checkCalls>): string {
  if (!parsed) return 'no call can be read, or none is expected';
  return named ? 'other arguments' : 'other tools are called';
}
