import { afterAll } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { adapterCases } from './adapterCases';
import { fuzzCases } from './fuzzCases';
import { fixture } from './readerCase';

const base = await openBase(fixture('llama/base'));
afterAll(() => base.close());

fuzzCases(adapterCases(base));
