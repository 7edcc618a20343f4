import { baseCases } from './baseCases';
import { fuzzCases } from './fuzzCases';

fuzzCases(await baseCases());
