import { textCases } from './textCases';
import { fuzzCases } from './fuzzCases';

fuzzCases(textCases());
