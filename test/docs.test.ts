// README and docs/ say what the program takes: each fenced sh and yaml block is parsed, each `tunnel …` goes through the command
// line's own parser, and each error code has its line.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseCommandLine } from '../src/cli/parse.ts';
import { checkConfig } from '../src/config/load.ts';
import { errorTable } from '../src/errors.ts';
import { shellCommands } from '../src/import/shell.ts';
import { createHome } from './config/home.ts';

const root = resolve(import.meta.dirname, '..');
const read = (document: string): string => readFileSync(join(root, document), 'utf8');
const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const documents = ['README.md', ...pages.map((name) => `docs/${name}`)];

/** Words of ssh that README tells the answer to. */
const refused = ['tunnel -L 5432:db:5432 host'];

interface Block {
  readonly document: string;
  readonly language: string;
  readonly line: number;
  readonly text: string;
}

const blocks = documents.flatMap((document) =>
  [...read(document).matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map((match): Block => ({
    document,
    language: match[1] ?? '',
    line: read(document).slice(0, match.index).split('\n').length,
    text: match[2] ?? '',
  })),
);
const inLanguage = (...languages: string[]): [string, Block][] =>
  blocks
    .filter(({ language }) => languages.includes(language))
    .map((block) => [`${block.document}:${block.line}`, block]);

/** Each command of ours in a shell text, also one within $(…), by its words without `tunnel`. */
function ownCommands(text: string): readonly string[][] {
  const inside = [...text.matchAll(/\$\((tunnel [^)]*)\)/g)].flatMap((match) => ownCommands(match[1] ?? ''));
  const plain = shellCommands(text.replace(/"\$\(tunnel [^)]*\)"/g, 'x')).map(({ words }) =>
    words.map((word) => word.text),
  );
  // what is behind a `>` is the shell's
  const own = (words: readonly string[]): string[] => {
    const end = words.findIndex((word) => /^\d?[<>]/.test(word));
    return words.slice(0, end < 0 ? words.length : end);
  };
  return [...inside, ...plain.flatMap(([first, ...words]) => (first === 'tunnel' ? [own(words)] : []))];
}

describe('a block of shell', () => {
  test.each(inLanguage('sh'))('at %s is one', (_, { text }) => {
    const { stderr, status } = spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });

  test.each(inLanguage('sh', 'console'))('at %s has commands that there are', (_, { language, text }) => {
    const typed = language === 'sh' ? text : (text.match(/(?<=^\$ ).*/gm) ?? []).join('\n');
    for (const words of ownCommands(typed)) parseCommandLine(words);
  });
});

describe('a block of YAML', () => {
  test.each(inLanguage('yaml'))(
    'at %s is one, and where it is a config has no fault',
    async (_, { text }) => {
      expect(parseAllDocuments(text).flatMap(({ errors }) => errors)).toEqual([]);
      if (!Object.hasOwn((parse(text) ?? {}) as object, 'tunnels')) return;
      const home = createHome({ PATH: '' }); // no ssh: what an alias comes to is not asked here
      const { issues } = await checkConfig(home.write('tunnels.yaml', text), home.account);
      expect(issues.map(({ message }) => message)).toEqual([]);
    },
  );
});

describe('a command within a sentence', () => {
  test.each(documents)('of %s is one that there is', (document) => {
    const sentences = read(document).replace(/^```[^]*?^```$/gm, '');
    const spans = [...sentences.matchAll(/`(tunnel [^`]+)`/g)].map((match) => match[1] ?? '');
    // Those with a choice in them are forms, as in --help.
    for (const span of spans.filter((each) => !/[[\]…|]/.test(each) && !refused.includes(each)))
      for (const words of ownCommands(span)) parseCommandLine(words);
  });
});

test('troubleshooting has a line for each error code, with its exit code and a command of ours', () => {
  const rows = [...read('docs/troubleshooting.md').matchAll(/^\| `([A-Z_]+)` +\| (\d+) +\|(.*)$/gm)];
  expect(Object.fromEntries(rows.map(([, code, exit]) => [code, Number(exit)]))).toEqual(
    Object.fromEntries(Object.entries(errorTable).map(([code, { exit }]) => [code, exit])),
  );
  const helpless = rows.filter(([, , , rest]) => !/`tunnel /.test(rest ?? '')).map(([, code]) => code);
  expect(helpless).toEqual([]);
});

test('what is linked to in docs/ and README is there', () => {
  const lost = documents.flatMap((document) =>
    [...read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter((link) => !link.includes('://'))
      .filter((link) => {
        try {
          return readFileSync(resolve(root, document, '..', link)).length < 0;
        } catch {
          return true;
        }
      })
      .map((link) => `${document}: ${link}`),
  );
  expect(lost).toEqual([]);
});
