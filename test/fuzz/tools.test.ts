import { fuzzCases } from './fuzzCases';
import { toolCases } from './toolCases';

fuzzCases(toolCases());
