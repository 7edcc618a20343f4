import type { CallForm, SingleCall } from '../../../data/chat/calls/form';
import type { Pattern } from '../../../data/chat/calls/pattern';
import { charClass, Grammar, literal, markOf, rule, type GrammarSymbol } from './grammar';
import { anyObject } from './jsonRules';
import { schemaRule, SchemaError } from './schemaGrammar';
import type { MarkTokens } from './tokenMask';

/** A tool that is called. */
export interface CallableTool {
  readonly name: string;
  /** The JSON schema of its arguments; null: any. */
  readonly parameters: object | null;
  /** Whether the arguments must follow the schema, even where it has what is not supported. */
  readonly strict: boolean;
}

/** What a template writes, apart from the calls. */
export interface CallSurroundings {
  /** What closes the reasoning that the prompt has opened. */
  readonly opening: string;
  /** What stands for an id of a call. */
  readonly id: string;
  /** Tokens that are no text of the vocabulary. */
  readonly added: ReadonlyMap<string, number>;
}

/** The texts of one call, and the tokens that stand in them as one character. */
export interface CallGrammar {
  readonly grammar: Grammar;
  readonly marks: MarkTokens;
}

/** Names that need no escapes in JSON, and no quotes elsewhere. */
const NAME = /^[\w.-]{1,200}$/;

/** How an answer with one call is written; null: that cannot be said. */
export const singleCallOf = (form: CallForm | null): SingleCall | null =>
  form?.kind === 'json' || form?.kind === 'named' ? form.single : null;

/**
 * The texts of one call of one of the tools. Arguments follow their schema; those of a schema that
 * is not supported are any object.
 *
 * @throws SchemaError for a name that cannot be written, and for a strict schema
 */
export function callGrammar(
  { before, middle, behind }: SingleCall,
  tools: readonly CallableTool[],
  { opening, id, added }: CallSurroundings,
): CallGrammar {
  const marks = new Map<string, number>();
  const symbolsOf = (parts: Pattern) => markedLiteral(parts.join(id), added, marks);
  const calls = tools.map((tool): GrammarSymbol[] => {
    if (!NAME.test(tool.name))
      throw new SchemaError(`the name ${JSON.stringify(tool.name)} has other characters`);
    const name = literal(tool.name);
    return [...name, ...symbolsOf(middle), argumentsRule(tool), ...symbolsOf(behind)];
  });
  const start = [...markedLiteral(opening, added, marks), ...symbolsOf(before)];
  return { grammar: new Grammar(rule([...start, rule(...calls)])), marks };
}

function argumentsRule({ parameters, strict }: CallableTool): GrammarSymbol {
  try {
    const isEmpty = parameters === null || Object.keys(parameters).length === 0;
    return isEmpty ? anyObject : schemaRule({ type: 'object', ...parameters });
  } catch (error) {
    const isUnsupported = error instanceof SchemaError || error instanceof RangeError;
    if (isUnsupported && !strict) return anyObject;
    throw error;
  }
}

/** A text in which tokens that are no text are one character each. */
function markedLiteral(
  text: string,
  added: ReadonlyMap<string, number>,
  marks: Map<string, number>,
): readonly GrammarSymbol[] {
  const found = [...added]
    .map(([token, id]) => ({ token, id, at: token === '' ? -1 : text.indexOf(token) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at || b.token.length - a.token.length)[0];
  if (!found) return literal(text);
  const { token, id, at } = found;
  const [known] = [...marks].find(([, own]) => own === id) ?? [];
  const mark = known ?? markOf(marks.size);
  marks.set(mark, id);
  const rest = markedLiteral(text.slice(at + token.length), added, marks);
  return [...literal(text.slice(0, at)), charClass((char) => char === mark), ...rest];
}
