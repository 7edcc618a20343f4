import { isObject } from '../../../shared/values';
import { parsed } from '../../rows/toolCalls';
import { commonPrefix, PLACEHOLDER } from '../probedChat';
import type { CallForm, CallShape, ParameterForm, SingleCall } from './form';
import { jsonAt } from './jsonText';
import { isBlank, patternOf, type Pattern } from './pattern';
import { pythonAt } from './pythonText';
import {
  callMessage,
  FIRST_CALL,
  SECOND_CALL,
  STYLES,
  type CallStyle,
  type ProbeCall,
  type Prober,
} from './probe';
import { readCalls } from './readCalls';
import { entriesOf, sameJson } from './sameJson';

/** Longer texts around calls are no marks of calls, and longer answers no calls of probes. */
const LONGEST = 2000;
const LONGEST_ANSWER = 20_000;

/**
 * Learns how a template writes calls, from answers with calls of unmistakable names and arguments.
 * Null: it writes none.
 *
 * @param ends The tokens that end an answer.
 */
export function learnCalls(probe: Prober, ends: readonly string[]): CallForm | null {
  const plain = probe({ role: 'assistant', content: PLACEHOLDER });
  if (plain === null) return null;
  for (const style of STYLES) {
    const regionOf = (...calls: readonly ProbeCall[]) =>
      regionIn(probe(callMessage(calls, style)), plain, ends);
    const one = regionOf(FIRST_CALL);
    const two = regionOf(FIRST_CALL, SECOND_CALL);
    const form =
      one === null
        ? null
        : (learnJson(one, two) ??
          learnPython(one, two) ??
          learnParameters(one, two, bareRegions(probe, style, plain, ends)));
    if (form && isShort(form) && isRead(one!, form)) return form;
  }
  return null;
}

/** What a template writes for an answer with calls only, up to its end token. */
function regionIn(text: string | null, plain: string, ends: readonly string[]): string | null {
  if (text === null) return null;
  const region = text.slice(commonPrefix(text, plain));
  if (region.length > LONGEST_ANSWER) return null;
  const last = Math.max(
    ...[FIRST_CALL, SECOND_CALL].flatMap(({ name, arguments: values }) =>
      [name, ...Object.values(values)].map((word) => region.lastIndexOf(word)),
    ),
  );
  if (last < 0) return null;
  const found = ends.map((end) => region.indexOf(end, last)).filter((at) => at >= 0);
  return found.length > 0 ? region.slice(0, Math.min(...found)) : region;
}

/** Whether what was learned from an answer gives its call again. */
function isRead(answer: string, form: CallForm): boolean {
  const calls = readCalls(answer, form, undefined)?.calls ?? [];
  const [call] = calls;
  return (
    calls.length === 1 &&
    call?.name === FIRST_CALL.name &&
    sameJson(call.arguments, FIRST_CALL.arguments)
  );
}

const IDS = [FIRST_CALL.id, SECOND_CALL.id];
const pattern = (text: string): Pattern => patternOf(text, IDS);

function isShort(form: CallForm): boolean {
  const patterns = Object.values(form).filter((value) => Array.isArray(value)) as Pattern[];
  return patterns.every((parts) => parts.join('').length <= LONGEST);
}

/** JSON with the arguments of a call in it. */
interface ArgumentsJson {
  readonly value: unknown;
  readonly start: number;
  readonly end: number;
}

/** Arguments that stand in the text as JSON, alone or in the JSON of their call. */
function learnJson(one: string, two: string | null): CallForm | null {
  const found = findJson(one, FIRST_CALL, 0);
  if (!found) return null;
  const shape = shapeOf(found.value, FIRST_CALL);
  const isAlone = sameJson(found.value, FIRST_CALL.arguments);
  const nameAt = one.lastIndexOf(FIRST_CALL.name, found.start);
  const end = pattern(one.slice(found.end));
  const second = two === null ? null : findJson(two, SECOND_CALL, 0);
  const first = two === null ? null : findJson(two, FIRST_CALL, 0);
  const isApart = second !== null && first !== null && second.start >= first.end;
  if (isAlone) {
    if (nameAt < 0) return null;
    const middleEnd = nameAt + FIRST_CALL.name.length;
    const nextName = two?.indexOf(SECOND_CALL.name, first?.end) ?? -1;
    return {
      kind: 'named',
      single: singleCall(one),
      start: pattern(one.slice(0, nameAt)),
      middle: pattern(one.slice(middleEnd, found.start)),
      between: isApart && nextName >= 0 ? pattern(two!.slice(first.end, nextName)) : null,
      end,
    };
  }
  if (!shape) return null;
  return {
    kind: 'json',
    single: singleCall(one),
    start: pattern(one.slice(0, found.start)),
    between: isApart ? pattern(two!.slice(first.end, second.start)) : null,
    end,
    shape,
  };
}

/** The parts of an answer with one call, whose name stands before its arguments as JSON. */
function singleCall(text: string): SingleCall | null {
  const { name, arguments: values } = FIRST_CALL;
  const nameAt = text.indexOf(name);
  const nameEnd = nameAt + name.length;
  const found = [...text.matchAll(/\{/g)]
    .map(({ index }) => ({ start: index, json: jsonAt(text, index) }))
    .find(({ json }) => json && sameJson(json.value, values));
  if (nameAt < 0 || !found?.json || found.start < nameEnd) return null;
  return {
    before: pattern(text.slice(0, nameAt)),
    middle: pattern(text.slice(nameEnd, found.start)),
    behind: pattern(text.slice(found.json.end)),
  };
}

/** The outermost JSON with the arguments of a call in it. */
function findJson(text: string, call: ProbeCall, from: number): ArgumentsJson | null {
  for (const { index } of text.slice(from).matchAll(/[{[]/g)) {
    const start = from + index;
    const found = jsonAt(text, start);
    if (found && holdsArguments(found.value, call)) return { ...found, start };
  }
  return null;
}

const isArguments = (value: unknown, call: ProbeCall): boolean =>
  isObject(parsed(value)) && sameJson(parsed(value), call.arguments);

function holdsArguments(value: unknown, call: ProbeCall): boolean {
  if (isArguments(value, call)) return true;
  if (Array.isArray(value)) return value.some((item) => holdsArguments(item, call));
  return isObject(value) && [...entriesOf(value).values()].some((own) => holdsArguments(own, call));
}

/** Where name and arguments are in the JSON of a call, or of a list of calls. */
function shapeOf(value: unknown, call: ProbeCall): CallShape | null {
  let inner: unknown = Array.isArray(value) ? value[0] : value;
  const path: string[] = [];
  while (isObject(inner) && !Array.isArray(inner)) {
    const entries = [...entriesOf(inner)];
    const own = entries.find(([, item]) => isArguments(item, call));
    if (own?.[0] === call.name) return { path, name: null, arguments: [] };
    const name = entries.find(([, item]) => item === call.name);
    if (own && name) return { path, name: [name[0]], arguments: [own[0]] };
    const next = entries.find(([, item]) => holdsArguments(item, call));
    if (own || !next) return null;
    path.push(next[0]);
    inner = next[1];
  }
  return null;
}

/** What is written for calls without arguments. */
interface BareRegions {
  readonly one: string | null;
  readonly two: string | null;
}

function bareRegions(
  probe: Prober,
  style: CallStyle,
  plain: string,
  ends: readonly string[],
): BareRegions {
  const bare = (call: ProbeCall): ProbeCall => ({ ...call, arguments: {} });
  const region = (...calls: readonly ProbeCall[]) =>
    regionIn(probe(callMessage(calls.map(bare), style)), plain, ends);
  return { one: region(FIRST_CALL), two: region(FIRST_CALL, SECOND_CALL) };
}

/** Calls as in Python. A list of them begins with its bracket, as it is read. */
function learnPython(one: string, two: string | null): CallForm | null {
  const first = findPython(one, FIRST_CALL);
  if (!first) return null;
  const inTwo = two === null ? null : findPython(two, FIRST_CALL);
  const second = two === null ? null : findPython(two, SECOND_CALL);
  const isApart = inTwo !== null && second !== null && second.start >= inTwo.end;
  return {
    kind: 'python',
    start: pattern(one.slice(0, first.start)),
    between: isApart ? pattern(two!.slice(inTwo.end, second.start)) : null,
    end: pattern(one.slice(first.end)),
  };
}

/** A call as in Python, or the list that begins with it. */
function findPython(text: string, { name, arguments: values }: ProbeCall) {
  const at = text.indexOf(name);
  if (at < 0) return null;
  for (const start of text[at - 1] === '[' ? [at - 1, at] : [at]) {
    const found = pythonAt(text, start);
    const [call] = found?.calls ?? [];
    if (found && call?.name === name && sameJson(call.arguments, values))
      return { ...found, start };
  }
  return null;
}

/** Arguments that stand in the text one by one. */
function learnParameters(one: string, two: string | null, bare: BareRegions): ParameterForm | null {
  const { name, arguments: values } = FIRST_CALL;
  const [firstKey, secondKey] = Object.keys(values);
  const [firstValue, secondValue] = Object.values(values);
  const words = [name, firstKey!, firstValue!, secondKey!, secondValue!];
  const gaps = gapsAround(one, words);
  if (!gaps) return null;
  const parallel = two === null ? null : gapsAround(two, [...words, SECOND_CALL.name]);
  const bareGaps = bare.one === null ? null : gapsAround(bare.one, [name]);
  const bareNext = bare.two === null ? null : gapsAround(bare.two, [name, SECOND_CALL.name]);
  const [start, nameKey, keyValue, valueKey, , end] = gaps.map(pattern);
  const next = parallel?.[5];
  const nameNext = bareNext?.[1];
  const nameEnd = bareGaps?.[1];
  if ([nameKey!, keyValue!, valueKey!].some(isBlank)) return null;
  return {
    kind: 'parameters',
    start: start!,
    nameKey: nameKey!,
    keyValue: keyValue!,
    valueKey: valueKey!,
    between: next === undefined ? null : pattern(next),
    end: end!,
    nameNext: nameNext === undefined ? null : pattern(nameNext),
    nameEnd: nameEnd === undefined ? null : pattern(nameEnd),
  };
}

/** The texts before, between and after words that stand in this order. Null: they do not. */
function gapsAround(text: string, words: readonly string[]): string[] | null {
  const gaps: string[] = [];
  let at = 0;
  for (const word of words) {
    const found = text.indexOf(word, at);
    if (found < 0) return null;
    gaps.push(text.slice(at, found));
    at = found + word.length;
  }
  return [...gaps, text.slice(at)];
}
