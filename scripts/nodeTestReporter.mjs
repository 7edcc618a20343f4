// A reporter for node:test: each failure as a line of JSON (failures.mjs).
import path from 'node:path';
import { nodeTestFailures } from './failures.mjs';

export default async function* reporter(events) {
  const failureIn = nodeTestFailures(path.resolve(import.meta.dirname, '..'));
  for await (const event of events) {
    const failure = failureIn(event);
    if (failure !== undefined) yield `${JSON.stringify(failure)}\n`;
  }
}
