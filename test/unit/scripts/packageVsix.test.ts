import { afterEach, expect, it, vi } from 'vitest';
import { packageVsix } from '../../workbench/packageVsix.mjs';

afterEach(() => vi.unstubAllEnvs());

it('files of npm test install the package that it made, even if sources have changed since', () => {
  vi.stubEnv('LORA_TEST_PACKAGE', '/made/before.vsix');
  expect(packageVsix()).toBe('/made/before.vsix');
});
