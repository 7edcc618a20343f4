import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeRecipe, recordOf, startCli, tempFolder } from '../support/commandLine';

/** Limits oneDNN and the kernels to AVX2, which most processors of laptops have. */
const AVX2 = { ONEDNN_MAX_CPU_ISA: 'AVX2', LORA_KERNELS_LEVEL: '1' };

async function trainedOnAvx2(base_dtype: string) {
  const recipe = makeRecipe({ training: { base_dtype, max_steps: 2 } });
  const dir = path.join(tempFolder(), 'run');
  const { end } = startCli(['train', recipe, '--run-dir', dir, '--json'], AVX2);
  const { code, stderr } = await end;
  expect(code, stderr).toBe(0);
  return { base_dtype: recordOf(dir).step_plan?.base_dtype, said: stderr };
}

describe.skipIf(process.arch !== 'x64')('a processor without products of bf16', () => {
  it('trains in float32 by itself', async () => {
    const { base_dtype, said } = await trainedOnAvx2('auto');
    expect(base_dtype).toBe('float32');
    expect(said).not.toContain('does not support');
  });

  it('says so where bfloat16 was asked for', async () => {
    const { base_dtype, said } = await trainedOnAvx2('bfloat16');
    expect(base_dtype).toBe('float32');
    expect(said).toMatch(/base_dtype is bfloat16, which this runtime does not support/);
  });

  it('says so where an answer in bfloat16 was asked for', async () => {
    const base = ['--base', 'test/fixtures/llama/base', '--prompt', 'a', '--max-new-tokens', '1'];
    const said = async (...more: string[]) => {
      const { code, stderr } = await startCli(['generate', ...base, ...more], AVX2).end;
      expect(code, stderr).toBe(0);
      return stderr;
    };
    expect(await said('--base-dtype', 'bfloat16')).toMatch(
      /base_dtype is bfloat16, which this runtime does not support: float32 is used/,
    );
    expect(await said('--base-dtype', 'auto')).not.toContain('does not support');
  });
});
