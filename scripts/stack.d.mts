export declare function mapStack(text: string, maps: string): string;
