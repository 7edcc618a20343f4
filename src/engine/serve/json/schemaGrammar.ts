import { isObject } from '../../../shared/values';
import { literal, rule, type GrammarSymbol, type Rule } from './grammar';
import {
  anyObject,
  anyValue,
  boolean,
  integer,
  listOf,
  many,
  mapOf,
  nothing,
  number,
  repeated,
  space,
  string,
  stringChar,
  stringOf,
} from './jsonRules';

type Schema = Readonly<Record<string, unknown>>;

/** Keywords that allow or forbid nothing. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  '$comment',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  '$defs',
  'definitions',
]);

/** The keywords of each type. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength'],
  number: [],
  integer: [],
  boolean: [],
  null: [],
};
const MOST_REPEATED = 1000;
const MOST_PROPERTIES = 500;

/** A schema that this server cannot follow. */
export class SchemaError extends Error {}

/**
 * The texts of a JSON schema: objects have their listed properties in the order of the schema.
 * Texts that fit the schema in other ways are not written.
 *
 * @throws SchemaError for a keyword that is not supported, by its name.
 */
export function schemaRule(schema: unknown): Rule {
  const compiler = new Compiler(schema);
  const compiled = compiler.compile(schema, '#');
  compiler.refuseLoops();
  return compiled;
}

class Compiler {
  private readonly references = new Map<string, Rule>();
  /** The reference that is compiled, with nothing written since it began. */
  private opening: string | null = null;
  /** The references that each can begin with. */
  private readonly beginnings = new Map<string, string[]>();

  constructor(private readonly root: unknown) {}

  /** @throws SchemaError for a reference that can begin with itself */
  refuseLoops(): void {
    const [open, done] = [new Set<string>(), new Set<string>()];
    const visit = (key: string) => {
      if (open.has(key)) throw new SchemaError(`${key} leads to itself`);
      if (done.has(key)) return;
      open.add(key);
      this.beginnings.get(key)?.forEach(visit);
      open.delete(key);
      done.add(key);
    };
    for (const key of this.beginnings.keys()) visit(key);
  }

  compile(given: unknown, place: string): Rule {
    if (given === true) return rule([anyValue]);
    if (!isObject(given) || Array.isArray(given))
      throw new SchemaError(`${place} must be a schema`);
    const reference = given['$ref'];
    if (reference !== undefined) return this.referenced(reference, given, place);
    for (const [keyword, compile] of CHOICES) {
      if (given[keyword] === undefined) continue;
      // "type" beside them says nothing new in what clients make of classes
      refuseOthers(given, [keyword, 'type'], place);
      return rule(...compile(this, given[keyword], `${place}/${keyword}`));
    }
    const { type } = given;
    if (type === undefined) {
      refuseOthers(given, [], place);
      return rule([anyValue]);
    }
    const types = Array.isArray(type) ? (type as unknown[]) : [type];
    const known = types.map((own) => {
      if (typeof own === 'string' && Object.hasOwn(KEYWORDS, own)) return own;
      throw new SchemaError(`${place}/type is not supported: ${JSON.stringify(own)}`);
    });
    if (new Set(known).size < known.length)
      throw new SchemaError(`${place}/type names a type twice`);
    refuseOthers(given, ['type', ...known.flatMap((own) => KEYWORDS[own]!)], place);
    return rule(...known.map((own) => [this.apart(null, () => this.typed(own, given, place))]));
  }

  private typed(type: string, schema: Schema, place: string): Rule {
    switch (type) {
      case 'object':
        return this.object(schema, place);
      case 'array':
        return listOf(
          ['[', ']'],
          schema['items'] === undefined
            ? anyValue
            : this.compile(schema['items'], `${place}/items`),
          boundsOf(schema, ['minItems', 'maxItems'], place),
        );
      case 'string': {
        const { least, most } = boundsOf(schema, ['minLength', 'maxLength'], place);
        if (least === 0 && most === null) return string;
        const chars =
          most === null
            ? [repeated(stringChar, least, least), many(stringChar)]
            : [repeated(stringChar, least, most)];
        return stringOf(rule(chars));
      }
      case 'number':
        return number;
      case 'integer':
        return integer;
      case 'boolean':
        return boolean;
      default:
        return nothing;
    }
  }

  /** The listed properties in their order, of which those that are not required may be left out. */
  private object(schema: Schema, place: string): Rule {
    const { properties = {}, required = [], additionalProperties = true } = schema;
    if (!isObject(properties) || !Array.isArray(required))
      throw new SchemaError(`${place} has properties or required of another type`);
    const names = Object.keys(properties);
    if (names.length > MOST_PROPERTIES)
      throw new SchemaError(`${place} has more than ${MOST_PROPERTIES} properties`);
    const unknown = required.find((name) => !Object.hasOwn(properties, String(name))) as unknown;
    if (unknown !== undefined)
      throw new SchemaError(
        `${place}/required names ${JSON.stringify(unknown)}, which is not a property`,
      );
    if (names.length === 0) {
      if (additionalProperties === true) return anyObject;
      if (additionalProperties === false) return rule([...literal('{'), space, ...literal('}')]);
      return mapOf(this.compile(additionalProperties, `${place}/additionalProperties`));
    }
    const needed = new Set<unknown>(required);
    const members = names.map((name) => ({
      isRequired: needed.has(name),
      symbols: [
        ...literal(JSON.stringify(name)),
        space,
        ...literal(':'),
        space,
        this.compile(properties[name], `${place}/properties/${name}`),
      ],
    }));
    return rule([...literal('{'), space, membersRule(members), space, ...literal('}')]);
  }

  private referenced(reference: unknown, schema: Schema, place: string): Rule {
    refuseOthers(schema, ['$ref'], place);
    const path = typeof reference === 'string' ? /^#(?:\/(.*))?$/.exec(reference) : null;
    if (!path) throw new SchemaError(`${place}/$ref must begin with "#"`);
    const key = String(reference);
    if (this.opening !== null) {
      const beginnings = this.beginnings.get(this.opening) ?? [];
      beginnings.push(key);
      this.beginnings.set(this.opening, beginnings);
    }
    const known = this.references.get(key);
    if (known) return known;
    const own = rule();
    this.references.set(key, own);
    const parts = path[1] === undefined ? [] : path[1].split('/');
    const target = parts.reduce<unknown>((value, part) => {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
      return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
    }, this.root);
    if (target === undefined) throw new SchemaError(`${place}/$ref names nothing: ${key}`);
    own.alternatives = [[this.apart(key, () => this.compile(target, key))]];
    return own;
  }

  private apart<T>(opening: string | null, work: () => T): T {
    const before = this.opening;
    this.opening = opening;
    const result = work();
    this.opening = before;
    return result;
  }
}

/** Alternatives that a keyword gives. */
type Choice = (compiler: Compiler, given: unknown, place: string) => readonly GrammarSymbol[][];

const valueOf = (value: unknown): GrammarSymbol[] => [...literal(JSON.stringify(value))];

const CHOICES: readonly (readonly [string, Choice])[] = [
  ['const', (_, given) => [valueOf(given)]],
  ['enum', (_, given, place) => listed(given, place).map(valueOf)],
  [
    'anyOf',
    (compiler, given, place) =>
      listed(given, place).map((own, i) => [compiler.compile(own, `${place}/${i}`)]),
  ],
];

function listed(given: unknown, place: string): readonly unknown[] {
  if (Array.isArray(given) && given.length > 0) return given as unknown[];
  throw new SchemaError(`${place} must be a list`);
}

interface Member {
  readonly isRequired: boolean;
  readonly symbols: readonly GrammarSymbol[];
}

/** Members separated by commas. */
function membersRule(members: readonly Member[]): Rule {
  const comma = [space, ...literal(','), space];
  // rest[i]: what follows once a member was written, from the i-th on
  let rest = rule([]);
  let first: readonly (readonly GrammarSymbol[])[] = [[]];
  for (const { isRequired, symbols } of [...members].reverse()) {
    first = [[...symbols, rest], ...(isRequired ? [] : first)];
    rest = rule([...comma, ...symbols, rest], ...(isRequired ? [] : [[rest]]));
  }
  return rule(...first);
}

function boundsOf(
  schema: Schema,
  [lower, upper]: readonly [string, string],
  place: string,
): { readonly least: number; readonly most: number | null } {
  const { [lower]: least = 0, [upper]: most = null } = schema;
  const isBound = (value: unknown): value is number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_REPEATED;
  if (!isBound(least) || (most !== null && (!isBound(most) || most < least)))
    throw new SchemaError(
      `${place} needs ${lower} and ${upper} from 0 to ${MOST_REPEATED}, in this order`,
    );
  return { least, most };
}

function refuseOthers(schema: Schema, known: readonly string[], place: string): void {
  const other = Object.keys(schema).find((name) => !known.includes(name) && !ANNOTATIONS.has(name));
  if (other !== undefined) throw new SchemaError(`${place}/${other} is not supported`);
}
