import { describe, expect, it } from 'vitest';
import { withDefaults, type RayEntry } from '../../../../src/targets/ray/rayEntry';
import { unfitStorage } from '../../../../src/targets/ray/room';

const unfit = (values: Partial<RayEntry>) =>
  unfitStorage(
    withDefaults({ name: 'c', address: 'http://head:8265', storage: null, env: [], ...values }),
  ).join();

describe('the storage of a Ray cluster', () => {
  it('is refused by key where it cannot be used', () => {
    const storage = 's3://bucket/runs';
    expect(unfit({ storage, engine: 'ray-train' })).toContain('"engine": "ray-train"');
    expect(unfit({ storage: '/runs', endpoint: 'https://host' })).toContain('"endpoint"');
    expect(unfit({ region: 'eu-west-1' })).toContain('"region"');
    for (const fit of [{}, { storage }, { storage, region: 'eu-west-1' }, { storage: '/runs' }])
      expect(unfit(fit)).toBe('');
  });
});
