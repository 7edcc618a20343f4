import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspectAdapter } from '../../../src/engine/commands/inspectAdapter';
import { adapterFindings } from '../../../src/inspect/adapterFindings';
import { temp } from '../../support/temp';
import { fixtures } from '../../support/models';

const ADAPTERS = {
  peft: ['llama/pair/adapter_a', 'adapter_config.json', 'adapter_model.safetensors'],
  mlx: ['llama/formats/mlx', 'adapter_config.json', 'adapters.safetensors'],
} as const;

/** A copy of an adapter with another config; returns the file of its weights. */
function weightsOf(
  format: keyof typeof ADAPTERS,
  change: (config: Record<string, unknown>) => object | string,
): string {
  const [from, config, weights] = ADAPTERS[format];
  const folder = path.join(temp(), 'adapter');
  cpSync(path.join(fixtures, from), folder, { recursive: true });
  const file = path.join(folder, config);
  const given = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  rmSync(file);
  const changed = change(given);
  writeFileSync(file, typeof changed === 'string' ? changed : JSON.stringify(changed));
  return path.join(folder, weights);
}

const findingsIn = async (file: string) => (await adapterFindings(file)).findings;

describe("what the tensor inspector says of an adapter's file", () => {
  it('is nothing where there is nothing to say, or no adapter', async () => {
    expect(await findingsIn(weightsOf('peft', (config) => config))).toEqual([]);
    for (const name of ['llama/formats/gguf/adapter.gguf', 'llama/base/model.safetensors', 'gone'])
      expect(await findingsIn(path.join(fixtures, name)), name).toEqual([]);
  });

  it('is what lora inspect says of entries in its config that match nothing', async () => {
    const file = weightsOf('peft', (config) => ({
      ...config,
      target_modules: ['q_proj', 'v_proj', 'q_prj'],
      rank_pattern: { w_pack: 8 },
      alpha_pattern: { w_pack: 8 },
      use_new_method: true,
    }));
    const findings = await findingsIn(file);
    expect(findings).toEqual([
      '"use_new_method" is not a known key of a LoRA adapter\'s config and is ignored.',
      'target_modules: "q_prj" matches no module in the weights file.',
      'rank_pattern: "w_pack" matches no module in the weights file.',
      'alpha_pattern: "w_pack" matches no module in the weights file.',
    ]);
    const { lines } = await inspectAdapter(file);
    expect(lines.slice(-findings.length)).toEqual(findings);
  });

  it('is that its update is zero', async () => {
    const file = weightsOf('mlx', (config) => ({
      ...config,
      lora_parameters: { ...(config['lora_parameters'] as object), scale: 0 },
    }));
    const findings = await findingsIn(file);
    expect(findings).toEqual(['The update is zero: A, B or the scale is zero in every module.']);
    expect((await inspectAdapter(file)).lines).toContain(findings[0]);
  });

  it('is why it cannot be used', async () => {
    const file = weightsOf('peft', (config) => ({ ...config, lora_alpha: 0 }));
    const [finding, ...others] = await findingsIn(file);
    expect(finding).toMatch(/"lora_alpha" must be above 0, not 0/);
    expect(others).toEqual([]);
    await expect(inspectAdapter(file)).rejects.toThrow('"lora_alpha" must be above 0, not 0');
    expect(await findingsIn(weightsOf('peft', () => '{'))).toHaveLength(1);
  });
});
