import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KNOWN_FAMILIES } from '../../../../src/formats/architecture/families/index';
import { modulesOf, tensorsOf, visionTensors } from '../../../../src/formats/architecture/modules';
import { canonicalNames, canonicalPath } from '../../../../src/formats/architecture/names';
import { readSpec, textConfig } from '../../../../src/formats/architecture/readSpec';
import { LoraError } from '../../../../src/shared/errors';
import { MODEL_TASKS } from '../../../../src/shared/task';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures');
const configs = readdirSync(fixtures).flatMap((name) => {
  try {
    return [
      [
        name,
        JSON.parse(readFileSync(path.join(fixtures, name, 'base/config.json'), 'utf8')) as Record<
          string,
          unknown
        >,
      ] as const,
    ];
  } catch {
    return [];
  }
});
const value = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.string(),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.integer(), { maxLength: 3 }),
  fc.dictionary(fc.constantFrom('rope_type', 'factor', 'rope_theta', 'x'), fc.anything(), {
    maxKeys: 3,
  }),
);

describe('the architecture table', () => {
  it('has a fixture for every family', () => {
    expect(new Set(configs.map(([, config]) => textConfig(config)['model_type']))).toEqual(
      new Set(KNOWN_FAMILIES),
    );
  });

  it('lists every module once, each with a weight unless it is a tied output layer', () => {
    for (const [, config] of configs) {
      const spec = readSpec(config, 'config.json');
      const paths = modulesOf(spec).map((m) => m.path);
      expect(new Set(paths).size).toBe(paths.length);
      const { body, head } = tensorsOf(spec);
      const names = [...body, ...head].map((t) => t.name);
      expect(new Set(names).size).toBe(names.length);
      const ofTower = spec.vision ? visionTensors(spec.vision).map((t) => t.name) : [];
      expect(ofTower.filter((name) => names.includes(name))).toEqual([]);
      const tied = spec.head.kind === 'lm' && spec.head.tied ? [spec.head.output.path] : [];
      for (const at of paths.filter((own) => !tied.includes(own)))
        expect([...names, ...ofTower]).toContain(`${at}.weight`);
      for (const known of [names, [...names, ...ofTower]])
        expect([...canonicalNames(known, spec)]).toEqual(known.map((name) => [name, name]));
      for (const at of paths) expect(canonicalPath(at, spec)).toBe(at);
    }
  });

  it('handles objects without toString in place of any value', () => {
    const textless = { toString: null, valueOf: null };
    for (const [, config] of configs) {
      for (const key of [...Object.keys(config), 'rope_scaling', 'layer_types', 'id2label']) {
        for (const value of [textless, [textless]]) {
          try {
            readSpec({ ...config, [key]: value }, 'config.json');
          } catch (error) {
            expect(error, key).toBeInstanceOf(LoraError);
          }
        }
      }
    }
  });

  it('gives a spec of bounded size or a LoraError for any config', () => {
    const hostile = fc.record({
      at: fc.integer({ min: 0, max: configs.length - 1 }),
      changes: fc.dictionary(fc.string(), value, { maxKeys: 3 }),
      pick: fc.array(fc.tuple(fc.nat(), value), { maxLength: 4 }),
      task: fc.option(fc.constantFrom(...MODEL_TASKS), { nil: undefined }),
    });
    fc.assert(
      fc.property(hostile, ({ at, changes, pick, task }) => {
        const [, config] = configs[at]!;
        const keys = Object.keys(config);
        const broken = {
          ...config,
          ...changes,
          ...Object.fromEntries(pick.map(([i, v]) => [keys[i % keys.length]!, v])),
        };
        try {
          const spec = readSpec(broken, 'config.json', task === undefined ? {} : { task });
          expect(spec.num_layers).toBeLessThanOrEqual(4096);
          if (spec.num_layers < 100) modulesOf(spec);
        } catch (error) {
          expect(error).toBeInstanceOf(LoraError);
        }
      }),
      { numRuns: 600 },
    );
  });
});
