// Our Dockerfile as instructions (docs.docker.com/reference/dockerfile), as far as it uses them.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export const repository = resolve(import.meta.dirname, '../..');

export interface Copy {
  /** Of the stage that is copied from; null: from the folder that is built. */
  readonly from: string | null;
  readonly sources: readonly string[];
  /** Absolute. */
  readonly target: string;
}

export interface Stage {
  readonly base: string;
  readonly name: string | null;
  readonly copies: readonly Copy[];
  readonly env: Readonly<Record<string, string>>;
  /** The last of a word: USER, ENTRYPOINT, CMD, HEALTHCHECK. */
  readonly last: Readonly<Record<string, string>>;
}

export function readDockerfile(): readonly Stage[] {
  const text = readFileSync(resolve(repository, 'Dockerfile'), 'utf8');
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n');
  const instructions = lines.flatMap((line) => {
    const [, word, rest] = /^([A-Z]+)\s+(.*\S)\s*$/.exec(line) ?? [];
    if (line.trim() !== '' && word === undefined) throw new Error(`no instruction: ${line}`);
    return word === undefined || rest === undefined ? [] : [{ word, rest }];
  });
  const starts = instructions.flatMap(({ word }, index) => (word === 'FROM' ? [index] : []));
  return starts.map((start, nth) => stageOf(instructions.slice(start, starts[nth + 1])));
}

function stageOf(instructions: readonly { readonly word: string; readonly rest: string }[]): Stage {
  const all = (word: string): readonly string[] =>
    instructions.flatMap((each) => (each.word === word ? [each.rest] : []));
  const [, base = '', name = null] = /^(\S+)(?: AS (\S+))?$/.exec(all('FROM')[0] ?? '') ?? [];
  const folder = all('WORKDIR').at(-1) ?? '/';
  const copies = all('COPY').map((rest): Copy => {
    const words = rest.split(/\s+/);
    const from = /^--from=(.+)$/.exec(words[0] ?? '')?.[1] ?? null;
    const paths = from === null ? words : words.slice(1);
    return { from, sources: paths.slice(0, -1), target: resolve(folder, paths.at(-1) ?? '') };
  });
  const env = all('ENV').flatMap((rest) => rest.split(/\s+/).map((pair) => pair.split('=', 2)));
  const last = instructions.map(({ word, rest }) => [word, rest]);
  return { base, name, copies, env: Object.fromEntries(env), last: Object.fromEntries(last) };
}

/** The words of ENTRYPOINT, CMD or HEALTHCHECK in its exec form. */
export function execForm(stage: Stage, word: 'ENTRYPOINT' | 'CMD' | 'HEALTHCHECK'): readonly string[] {
  const list = /\[.*\]$/.exec(stage.last[word] ?? '')?.[0];
  if (list === undefined) throw new Error(`${word} is not in its exec form`);
  return JSON.parse(list) as string[];
}
