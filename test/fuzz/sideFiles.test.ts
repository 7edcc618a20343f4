import { sideFileCases } from './baseCases';
import { fuzzCases } from './fuzzCases';

fuzzCases(sideFileCases());
