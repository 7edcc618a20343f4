import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { nearestName } from '../../shared/nearest';
import type { CommandContext } from './context';
import type { Option, OptionSet, OptionValues } from './options';

/** An argument without a name, by its position. */
export interface Positional {
  /** Its name in the usage, such as RECIPE.json. */
  readonly valueName: string;
  readonly help: string;
}

type PositionalSet = Readonly<Record<string, Positional>>;

/** The parsed arguments of a command. */
export interface Arguments<O extends OptionSet, P extends PositionalSet> {
  readonly options: OptionValues<O>;
  readonly positionals: { readonly [K in keyof P]: string };
}

interface FormDefinition<O extends OptionSet, P extends PositionalSet> {
  /**
   * The option that selects this form. If none is selected, the first one with as many positionals
   * as are given is used, else the first.
   */
  readonly selectedBy?: keyof O & string;
  readonly options: O;
  readonly positionals?: P;
  /** Checks options that depend on each other: a sentence for a usage error, or null. */
  readonly check?: (given: Arguments<O, P>) => string | null;
  /** Returns the exit code. */
  readonly run: (given: Arguments<O, P>, context: CommandContext) => Promise<number>;
}

interface ParsedArgs {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

/** One way to call a command, with its own options. */
export interface CommandForm {
  readonly selectedBy: string | null;
  readonly options: OptionSet;
  readonly positionals: readonly Positional[];
  readonly run: (args: ParsedArgs, usage: string, context: CommandContext) => Promise<number>;
}

interface CommandDefinition {
  readonly name: string;
  /** One sentence: what the command does. */
  readonly summary: string;
  readonly forms: readonly CommandForm[];
  /** More lines for the help. */
  readonly notes?: readonly string[];
  /** The output is JSON anyway, so that --json changes nothing. */
  readonly alwaysJson?: boolean;
  /**
   * Signals such as SIGINT end it at any time, even within a native call: it changes no file, or
   * listens to them itself while it does.
   */
  readonly endedBySignals?: boolean;
}

/** A command of the command line. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** One line for each form. */
  readonly usage: string;
  /** The usage, with a line for each option. */
  readonly help: string;
  /** SIGINT and SIGTERM end the process at once: there is nothing to tidy up. */
  readonly endedBySignals: boolean;
  /**
   * Parses the arguments that follow the command's name, runs it and returns the exit code.
   * @throws LoraError('usage') when the arguments are wrong.
   */
  readonly run: (args: readonly string[], context: CommandContext) => Promise<number>;
}

/** One way to call a command; its options are read before `run` is called. */
export function form<O extends OptionSet, P extends PositionalSet = PositionalSet>(
  definition: FormDefinition<O, P>,
): CommandForm {
  const { selectedBy = null, options, check, run } = definition;
  const positionals = definition.positionals ?? ({} as P);
  return {
    selectedBy,
    options,
    positionals: Object.values(positionals),
    run: (args, usage, context) => {
      const given: Arguments<O, P> = {
        options: readOptions(options, args.values, usage),
        positionals: readPositionals(positionals, args.positionals, usage),
      };
      const problem = check?.(given) ?? null;
      if (problem !== null) {
        throw usageError(problem, usage);
      }
      return run(given, context);
    },
  };
}

/** A command of one or more forms. */
export function defineCommand(definition: CommandDefinition): Command {
  const { name, summary, forms } = definition;
  const usage = usageOf(definition);
  const options = Object.assign({}, ...forms.map((each) => each.options)) as OptionSet;
  return {
    name,
    summary,
    usage,
    help: helpOf(definition, usage),
    endedBySignals: definition.endedBySignals ?? false,
    run: async (args, context) => {
      const parsed = parse(args, options, usage);
      const selected = forms.find(
        ({ selectedBy }) => selectedBy !== null && parsed.values[selectedBy] !== undefined,
      );
      const fitting = forms.find(
        ({ selectedBy, positionals }) =>
          selectedBy === null && positionals.length === parsed.positionals.length,
      );
      const chosen = selected ?? fitting ?? forms[0]!;
      refuseOthers(chosen, forms, parsed, usage);
      return chosen.run(parsed, usage, context);
    },
  };
}

const usageError = (problem: string, usage: string): LoraError =>
  new LoraError('usage', problem, { fix: usage });

function parse(args: readonly string[], options: OptionSet, usage: string): ParsedArgs {
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { type, multiple }]) => [name, { type, multiple }]),
  );
  try {
    return parseArgs({ args: [...args], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw usageError(describeParseError(message, Object.keys(options)), usage);
  }
}

/** Rewords the message of parseArgs. */
function describeParseError(message: string, known: readonly string[]): string {
  const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  if (unknown !== undefined) {
    const nearest = nearestName(unknown, known);
    const hint = nearest === undefined ? '' : ` Did you mean --${nearest}?`;
    return `There is no option --${unknown}.${hint}`;
  }
  const [, option] = /^Option '--([\w-]+).*argument (?:missing|is ambiguous)/.exec(message) ?? [];
  if (option !== undefined) {
    return `--${option} needs a value (--${option}=VALUE if it begins with a dash).`;
  }
  return `${message.split(/\.?\n|\. /)[0]!.replace(/\.$/, '')}.`;
}

function readOptions<O extends OptionSet>(
  options: O,
  values: ParsedArgs['values'],
  usage: string,
): OptionValues<O> {
  checkChoices(options, values, usage);
  const names = Object.keys(options);
  const schema = v.object(Object.fromEntries(names.map((name) => [name, options[name]!.schema])));
  const given = Object.fromEntries(names.map((name) => [name, values[name]]));
  const { success, output, issues } = v.safeParse(schema, given);
  if (!success) {
    const [{ path, message }] = issues;
    throw usageError(`--${String(path?.[0].key)} ${message}.`, usage);
  }
  return output as OptionValues<O>;
}

function checkChoices(options: OptionSet, values: ParsedArgs['values'], usage: string): void {
  for (const group of optionGroups(options)) {
    const names = group.map(([name]) => name);
    const given = names.filter((name) => values[name] !== undefined);
    if (group.length > 1 && given.length !== 1) {
      const flags = names.map((name) => `--${name}`);
      throw usageError(
        `Give exactly one of ${flags.slice(0, -1).join(', ')} and ${flags.at(-1)!}.`,
        usage,
      );
    }
  }
}

/** Options of another form would be ignored. */
function refuseOthers(
  chosen: CommandForm,
  forms: readonly CommandForm[],
  { values }: ParsedArgs,
  usage: string,
): void {
  const name = Object.keys(values).find((own) => !Object.hasOwn(chosen.options, own));
  if (name === undefined) return;
  const owner = forms.find(({ options }) => Object.hasOwn(options, name))?.selectedBy ?? null;
  if (owner !== null) throw usageError(`--${name} needs --${owner}.`, usage);
  const place = chosen.selectedBy === null ? 'here' : `with --${chosen.selectedBy}`;
  throw usageError(`--${name} cannot be used ${place}.`, usage);
}

function readPositionals<P extends PositionalSet>(
  positionals: P,
  values: readonly string[],
  usage: string,
): { readonly [K in keyof P]: string } {
  const expected = Object.entries(positionals);
  const missing = expected[values.length];
  if (missing) {
    throw usageError(`${missing[1].valueName} is missing.`, usage);
  }
  if (values.length > expected.length) {
    throw usageError(`Unexpected argument ${JSON.stringify(values[expected.length])}.`, usage);
  }
  const entries = expected.map(([name], i) => [name, values[i]!]);
  return Object.fromEntries(entries) as { readonly [K in keyof P]: string };
}

type NamedOption = readonly [name: string, option: Option<unknown>];

/** The options in order, with those of one choice grouped. */
function optionGroups(options: OptionSet): readonly (readonly NamedOption[])[] {
  const groups = new Map<string, NamedOption[]>();
  for (const [name, option] of Object.entries(options)) {
    const key = option.choice ?? name;
    groups.set(key, [...(groups.get(key) ?? []), [name, option]]);
  }
  return [...groups.values()];
}

function usageOf({ name, forms, alwaysJson }: CommandDefinition): string {
  const lines = forms.map(({ options, positionals }) =>
    [
      `lora ${name}`,
      ...positionals.map(({ valueName }) => valueName),
      ...optionGroups(options).map(groupUsage),
      ...(alwaysJson ? [] : ['[--json]']),
    ].join(' '),
  );
  return lines.join('\n');
}

function groupUsage(group: readonly NamedOption[]): string {
  const labels = group.map(labelOf);
  if (labels.length > 1) {
    return `(${labels.join(' | ')})`;
  }
  return group[0]![1].required ? labels[0]! : `[${labels[0]!}]`;
}

function labelOf([name, { valueName, multiple }]: NamedOption): string {
  const label = valueName === null ? `--${name}` : `--${name} ${valueName}`;
  return multiple ? `${label}…` : label;
}

function helpOf(
  { summary, forms, notes = [], alwaysJson }: CommandDefinition,
  usage: string,
): string {
  const positionals = forms.flatMap((each) => each.positionals);
  const options = forms.flatMap((each) => Object.entries(each.options));
  const argumentRows = positionals.map(({ valueName, help }) => [valueName, help] as const);
  const optionRows = [
    ...options.map((named) => [labelOf(named), named[1].help] as const),
    ...(alwaysJson ? [] : [['--json', 'print one JSON object per line, for programs'] as const]),
  ];
  const width = Math.max(...[...argumentRows, ...optionRows].map(([label]) => label.length));
  const lineOf = ([label, help]: readonly [string, string]) => `  ${label.padEnd(width)}  ${help}`;
  return [
    summary,
    '',
    'Usage:',
    ...usage.split('\n').map((line) => `  ${line}`),
    ...(argumentRows.length === 0 ? [] : ['', 'Arguments:', ...argumentRows.map(lineOf)]),
    '',
    'Options:',
    ...optionRows.map(lineOf),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}
