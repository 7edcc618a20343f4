import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { defineCommand, form } from '../../../../src/engine/commands/command';
import type { CommandContext } from '../../../../src/engine/commands/context';
import {
  exactlyOne,
  flag,
  list,
  optional,
  required,
  withDefault,
} from '../../../../src/engine/commands/options';
import {
  absolutePath,
  byteSize,
  fraction,
  numberList,
  oneOf,
  anyText,
  wholeNumber,
} from '../../../../src/engine/commands/optionValues';
import { LoraError } from '../../../../src/shared/errors';

const context: CommandContext = {
  dist: '',
  version: '',
  json: false,
  signal: new AbortController().signal,
  print: () => undefined,
  warn: () => undefined,
  note: () => undefined,
};

const options = {
  base: required(absolutePath, 'PATH', 'base model'),
  adapter: list(anyText, 'DIR', 'adapter'),
  limit: optional(byteSize, 'SIZE', 'largest file'),
  type: withDefault('cat', oneOf(['cat', 'svd']), 'cat|svd', 'how to combine'),
  ...exactlyOne({
    rank: optional(wholeNumber, 'N', 'rank'),
    error: optional(fraction, 'SHARE', 'error'),
  }),
  peft: flag('as PEFT does'),
};
const positionals = { file: { valueName: 'FILE', help: 'file to read' } };

/** Runs a command with these options and a second form; gives what its `run` received. */
async function run(...args: readonly string[]): Promise<unknown> {
  let received: unknown;
  const keep = (given: unknown) => {
    received = given;
    return Promise.resolve(0);
  };
  await command(keep).run(args, context);
  return received;
}

const command = (run: (given: unknown) => Promise<number>) =>
  defineCommand({
    name: 'test',
    summary: 'Tests the command line.',
    forms: [
      form({
        options,
        positionals,
        check: ({ options: { peft, type } }) =>
          peft && type === 'svd' ? '--peft needs --type cat.' : null,
        run,
      }),
      form({
        selectedBy: 'verify',
        options: { verify: required(anyText, 'DIR', 'model to verify') },
        run,
      }),
    ],
  });

const errorOf = async (...args: readonly string[]): Promise<LoraError> => {
  const error: unknown = await run(...args).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LoraError);
  return error as LoraError;
};

describe('the arguments of a command', () => {
  it('are parsed into typed values, with defaults for what was left out', async () => {
    expect(await run('in.json', '--base', 'b', '--rank=4')).toEqual({
      positionals: { file: 'in.json' },
      options: {
        base: path.resolve('b'),
        adapter: [],
        limit: null,
        type: 'cat',
        rank: 4,
        error: null,
        peft: false,
      },
    });
    expect(
      await run(
        ...['in.json', '--base=b', '--error', '0.5', '--adapter', 'x', '--adapter', 'y'],
        ...['--limit', '1.5GB', '--type', 'svd'],
      ),
    ).toMatchObject({
      options: { adapter: ['x', 'y'], limit: 1.5e9, type: 'svd', rank: null, error: 0.5 },
    });
  });

  it('select another form by its option', async () => {
    expect(await run('--verify', 'model')).toEqual({
      positionals: {},
      options: { verify: 'model' },
    });
  });

  const given = ['in.json', '--base=b', '--rank=4'];
  it.each<[string, readonly string[], string]>([
    ['an unknown option', [...given, '--adaptr=x'], 'no option --adaptr. Did you mean --adapter?'],
    ['a missing option', ['in.json', '--rank=4'], '--base is missing.'],
    ['an empty option', ['in.json', '--base=', '--rank=4'], '--base is missing.'],
    ['a missing argument', ['--base=b', '--rank=4'], 'FILE is missing.'],
    ['an argument too many', [...given, 'y'], 'Unexpected argument "y".'],
    ['an option without its value', [...given, '--limit'], '--limit needs a value'],
    ['an option as a value', [...given, '--limit', '--peft'], '--limit needs a value'],
    ['a flag with a value', [...given, '--peft=1'], "'--peft' does not take an argument."],
    ['a wrong word', [...given, '--type=x'], '--type must be one of cat, svd, not "x".'],
    ['a wrong size', [...given, '--limit=5XB'], '--limit must be a size such as 5GB, not "5XB".'],
    ['no choice', ['in.json', '--base=b'], 'Give exactly one of --rank and --error.'],
    ['two choices', [...given, '--error=0.5'], 'Give exactly one of --rank and --error.'],
    [
      'an option of another form',
      [...given, '--verify=x', '--peft'],
      'cannot be used with --verify.',
    ],
    ['a conflict', [...given, '--peft', '--type=svd'], '--peft needs --type cat.'],
  ])('with %s are refused, with the usage', async (_, args, message) => {
    const { area, message: actual, fix } = await errorOf(...args);
    expect(actual).toContain(message);
    expect([area, fix]).toEqual(['usage', command(() => Promise.resolve(0)).usage]);
  });
});

it('usage and help are made from the options', () => {
  const { usage, help } = command(() => Promise.resolve(0));
  expect(usage).toBe(
    [
      'lora test FILE --base PATH [--adapter DIR…] [--limit SIZE] [--type cat|svd] (--rank N | --error SHARE) [--peft] [--json]',
      'lora test --verify DIR [--json]',
    ].join('\n'),
  );
  expect(help).toContain('\nArguments:\n  FILE            file to read\n');
  expect(help).toContain('\n  --type cat|svd  how to combine (default: cat)\n');
  expect(help).toContain('\n  --verify DIR    model to verify\n');
});

describe('numbers', () => {
  const read = (value: string) =>
    defineCommand({
      name: 'numbers',
      summary: '',
      forms: [
        form({
          options: { n: required(numberList, 'N,N', 'numbers') },
          run: ({ options: { n } }) => Promise.resolve(n.reduce((a, b) => a + b, 0)),
        }),
      ],
    }).run([`--n=${value}`], context);

  it('may be negative and separated by commas', async () => {
    expect(await read('-1,2.5,4')).toBe(5.5);
    await expect(read('1;2')).rejects.toThrow(
      '--n must be numbers separated by commas, not "1;2".',
    );
  });
});
