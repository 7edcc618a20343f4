import { repeatedKey } from '../../shared/repeatedKeys';
import path from 'node:path';
import * as v from 'valibot';
import { reservedVariable } from '../../data/chat/reservedVariable';
import { variablesIn } from '../../shared/chatVariables';

/** Reads one value on the command line. Its message continues "--name …", as in "must be …". */
export type ValueSchema<T> = v.GenericSchema<string, T>;

const rejecting =
  (expected: string) =>
  ({ input }: { readonly input: unknown }): string =>
    `must be ${expected}, not ${JSON.stringify(input)}`;

/** A finite number for which `isAllowed` holds; `expected` describes those numbers. */
function numberThat(isAllowed: (value: number) => boolean, expected: string): ValueSchema<number> {
  return v.pipe(
    v.string(),
    v.check((value) => Number.isFinite(Number(value)), rejecting(expected)),
    v.check((value) => isAllowed(Number(value)), rejecting(expected)),
    v.transform(Number),
  );
}

/** Any text, unchanged. */
export const anyText: ValueSchema<string> = v.string();

/** A path, made absolute. */
export const absolutePath: ValueSchema<string> = v.pipe(
  v.string(),
  v.transform((value) => path.resolve(value)),
);

/** The path of a folder to write: not one that is named as a file of weights. */
export const folderPath: ValueSchema<string> = v.pipe(
  v.string(),
  v.check((value) => !isWeightFile(value), rejecting('a folder')),
  v.transform((value) => path.resolve(value)),
);

/** A folder or a .safetensors file. */
export const adapterPath: ValueSchema<string> = v.pipe(
  v.string(),
  v.check((value) => !value.endsWith('.gguf'), rejecting('a folder or a .safetensors file')),
  v.transform((value) => path.resolve(value)),
);

/** Whether a path is named as a file of weights. */
export const isWeightFile = (file: string): boolean => /\.(?:safetensors|gguf)$/.test(file);

/** 0, 1, 2, … */
export const wholeNumber: ValueSchema<number> = v.pipe(
  v.string(),
  v.regex(/^\d+$/, rejecting('a whole number')),
  v.transform(Number),
);

/** 1, 2, 3, … */
export const positiveWholeNumber: ValueSchema<number> = v.pipe(
  v.string(),
  v.regex(/^0*[1-9]\d*$/, rejecting('a whole number of at least 1')),
  v.transform(Number),
);

/** A port of this machine; 0: any free one. */
export const port = numberThat(
  (value) => Number.isInteger(value) && value >= 0 && value <= 65_535,
  'a port from 0 to 65535',
);

/** A number from 0 to 1. */
export const fraction = numberThat((value) => value >= 0 && value <= 1, 'a number from 0 to 1');

/** A number of 0 or above. */
export const nonNegativeNumber = numberThat((value) => value >= 0, '0 or above');

/** A number above 0. */
export const positiveNumber = numberThat((value) => value > 0, 'above 0');

/** Any number except 0. */
export const nonZeroNumber = numberThat((value) => value !== 0, 'a number other than 0');

/** Numbers separated by commas. */
export const numberList: ValueSchema<number[]> = v.pipe(
  v.string(),
  v.check(
    (value) => value.split(',').every((item) => Number.isFinite(Number(item))),
    rejecting('numbers separated by commas'),
  ),
  v.transform((value) => value.split(',').map(Number)),
);

/** One of a fixed set of words. */
export const oneOf = <const T extends string>(values: readonly T[]): ValueSchema<T> =>
  v.pipe(v.string(), v.picklist(values, rejecting(`one of ${values.join(', ')}`)));

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

function bytesIn(value: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value) ?? [];
  return Number(number) * (BYTES_PER_UNIT[unit.toUpperCase()] ?? NaN);
}

/** A size such as 5GB or 512MiB, in bytes. */
export const byteSize: ValueSchema<number> = v.pipe(
  v.string(),
  v.check((value) => bytesIn(value) >= 1, rejecting('a size such as 5GB')),
  v.transform(bytesIn),
);

/** JSON of an object with variables for the chat template. */
export const templateVariables: ValueSchema<Record<string, unknown>> = v.pipe(
  v.string(),
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
    const variables = variablesIn(value);
    const repeated = variables && repeatedKey(value);
    if (repeated) {
      addIssue({ message: `has the key "${repeated.path}" twice` });
      return NEVER;
    }
    if (variables && reservedVariable(variables) === undefined) return variables;
    addIssue({ message: 'must be a JSON object of variables, such as {"enable_thinking": false}' });
    return NEVER;
  }),
);
