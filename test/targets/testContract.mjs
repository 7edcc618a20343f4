import { test } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import path from 'node:path';
import { contract } from './contract.mjs';

const dist = path.resolve(import.meta.dirname, '../../dist');

/**
 * A test for each check of the contract of targets. `place` gives, once the tests run, the target
 * as in targets.json, a folder for files here, and variables of the environment.
 */
export function testContract(place) {
  for (const [name, check] of Object.entries(contract))
    test(`the contract: ${name}`, async () => {
      const [{ openTarget }, { parseTargets }, { newRunId }] = await Promise.all(
        ['targets/openTarget.ts', 'targets/targetList.ts', 'shared/run.ts'].map((file) =>
          tsImport(`../../src/${file}`, import.meta.url),
        ),
      );
      const { entry, folder, env = {} } = place();
      const [parsed] = parseTargets(JSON.stringify([entry]), 'targets.json');
      const target = await openTarget(parsed, { dist, env: { ...process.env, ...env } });
      try {
        await check({ target, folder, newRunId });
      } finally {
        target.dispose();
      }
    });
}
