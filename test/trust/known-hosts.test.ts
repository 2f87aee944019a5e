// The known_hosts grammar, by tables and against ssh-keygen -H, -F and -R.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatEntry,
  hostKeyName,
  matchesHosts,
  matchesPattern,
  namesExactly,
  nameWithoutPort,
  parseKnownHosts,
} from '../../src/trust/known-hosts.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { testKey } from './keys.ts';

const key = testKey();
const other = testKey();

describe('a line of known_hosts', () => {
  test('is read with its marker, hosts, key, comment and place', () => {
    const text = [
      '# a comment',
      '',
      `katie.example,10.0.0.1 ${key.line} root@katie and more`,
      `  \t[katie.example]:2222\t${key.line}\r`,
      `@cert-authority *.example ${other.line}`,
      `@revoked * ${other.line}`,
    ].join('\n');
    const { entries, skipped } = parseKnownHosts(text, '/kh');
    expect(skipped).toEqual([]);
    expect(entries.map(({ marker, hosts, line, comment }) => [line, marker, hosts, comment])).toEqual([
      [3, null, 'katie.example,10.0.0.1', 'root@katie and more'],
      [4, null, '[katie.example]:2222', ''],
      [5, 'cert-authority', '*.example', ''],
      [6, 'revoked', '*', ''],
    ]);
    expect(entries[0]?.key.equals(key.blob)).toBe(true);
  });

  test.each([
    ['@nonsense a KEY', /unknown marker/],
    ['@revoked @revoked a KEY', /marker/],
    ['@cert-authority\ta KEY', /unknown marker/],
    ['a\r KEY\r\r#', /type|base64/],
    ['a', /no key/],
    ['a ssh-ed25519', /no key/],
    ['a ssh-rsa BASE', /not of type/],
    ['a ssh-ed25519 AAAA*', /base64/],
    ['a ssh-ed25519 AAAA', /not of type/],
    ['|1|short|hash KEY', /hash/],
    ['a 1024 35 123456', /protocol 1/],
  ])('that is bad (%s) is skipped with a reason, and hides no other', (line, reason) => {
    const text = `${line.replace('KEY', key.line).replace('BASE', key.line.split(' ')[1] ?? '')}\nb ${key.line}`;
    const { entries, skipped } = parseKnownHosts(text, '/kh');
    expect(entries.map((entry) => entry.hosts)).toEqual(['b']);
    expect(skipped).toEqual([{ file: '/kh', line: 1, reason: expect.stringMatching(reason) as string }]);
  });

  test('that is revoked counts although its marker ends in a tab, where OpenSSH passes it over', () => {
    const { entries } = parseKnownHosts(`@revoked\ta ${key.line}\n@revoked a\t${key.line}`, '/kh');
    expect(entries.map(({ marker, hosts }) => [marker, hosts])).toEqual([
      ['revoked', 'a'],
      ['revoked', 'a'],
    ]);
  });

  test('whose base64 has bits too many is no key, as for OpenSSH', () => {
    const ecdsa = testKey(['-t', 'ecdsa', '-b', '256']).line;
    const last = ecdsa.lastIndexOf('=') - 1;
    const sloppy = `${ecdsa.slice(0, last)}${String.fromCharCode(ecdsa.charCodeAt(last) + 1)}${ecdsa.slice(last + 1)}`;
    expect(parseKnownHosts(`a ${sloppy}`, '/kh').entries).toEqual([]);
    expect(parseKnownHosts(`a ${ecdsa}`, '/kh').entries).toHaveLength(1);
  });

  test('is written so that reading gives the same entry', () => {
    const line = formatEntry({ marker: 'revoked', hosts: '[a]:2222', key: key.blob, comment: 'why not' });
    const [entry] = parseKnownHosts(line, '/kh').entries;
    expect(entry).toMatchObject({
      marker: 'revoked',
      hosts: '[a]:2222',
      type: 'ssh-ed25519',
      comment: 'why not',
    });
    expect(entry?.key.equals(key.blob)).toBe(true);
  });

  test('made of noise never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseKnownHosts(text, '/kh').entries.map((entry) => matchesHosts(entry.hosts, text));
      }),
    );
  });
});

describe('the hosts field', () => {
  test.each([
    ['katie', 'katie', true],
    ['KATIE', 'katie', true],
    ['katie', 'KATIE', true],
    ['a,katie', 'katie', true],
    ['*.example', 'katie.example', true],
    ['*.example', 'example', false],
    ['k?tie', 'katie', true],
    ['k?tie', 'ktie', false],
    ['*,!katie', 'katie', false],
    ['!katie,*', 'katie', false],
    ['!katie', 'robin', false],
    ['*', '[katie]:2222', true],
    ['katie', '[katie]:2222', false],
    ['[katie]:2222', '[katie]:2222', true],
    ['[katie]:*', '[katie]:2222', true],
    ['', 'katie', false],
    ['\u212aatie', 'katie', false],
    ['katie', '\u212aatie', false],
    [`katie,${'x'.repeat(1022)}`, 'katie', true],
    [`katie,${'x'.repeat(1023)}`, 'katie', false],
  ])('%s and the name %s: %s', (hosts, name, expected) => {
    expect(matchesHosts(hosts, name)).toBe(expected);
  });

  test('names exactly only without a pattern', () => {
    expect(namesExactly('*.example', 'a.example')).toBe(false);
    expect(namesExactly('*.example,a.example', 'a.example')).toBe(true);
    expect(namesExactly('A.example', 'a.example')).toBe(true);
    expect(namesExactly('a.example,!a.example', 'a.example')).toBe(false);
  });

  test('with many stars is matched in reasonable time', () => {
    expect(matchesPattern(`${'*a'.repeat(200)}b`, 'a'.repeat(4000))).toBe(false);
  });

  test('agrees with a plain regular expression for every pattern', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
    fc.assert(
      fc.property(
        word,
        fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 }),
        (pattern, name) => {
          const expression = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
          expect(matchesPattern(pattern, name)).toBe(new RegExp(`^${expression}$`).test(name));
        },
      ),
    );
  });
});

describe('the name of a host', () => {
  test('has brackets and port unless that is 22, in small letters; an alias stands alone', () => {
    expect(hostKeyName('Katie.Example', 22, null)).toBe('katie.example');
    expect(hostKeyName('Katie.Example', 2222, null)).toBe('[katie.example]:2222');
    expect(hostKeyName('::1', 22, null)).toBe('::1');
    expect(hostKeyName('::1', 2222, null)).toBe('[::1]:2222');
    expect(hostKeyName('10.0.0.1', 2222, 'Prod')).toBe('prod');
    expect(nameWithoutPort('[::1]:2222')).toBe('::1');
    expect(nameWithoutPort('katie')).toBeNull();
  });
});

describe('ssh-keygen and we', () => {
  const folder = temporaryFolder('kh');
  const names = ['katie.example', '[katie.example]:2222', '::1', '[::1]:2022'];

  test('agree on hashed names, both ways', () => {
    const file = join(folder, 'hashed');
    writeFileSync(file, names.map((name) => `${name} ${key.line}\n`).join(''));
    execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'pipe' });
    const { entries, skipped } = parseKnownHosts(readFileSync(file, 'utf8'), file);
    expect(skipped).toEqual([]);
    expect(entries.every((entry) => entry.hosts.startsWith('|1|'))).toBe(true);
    for (const [index, name] of names.entries()) {
      const lines = entries.filter((entry) => namesExactly(entry.hosts, name)).map((entry) => entry.line);
      expect(lines).toEqual([index + 1]);
      const found = execFileSync('ssh-keygen', ['-F', name, '-f', file], { encoding: 'utf8' });
      expect(found).toContain(`line ${index + 1}`);
    }
  });

  test('agree on which lines are about a name', () => {
    const file = join(folder, 'patterns');
    const hosts = ['*.example', 'k?tie.example,!other.example', '*,!katie.example', 'robin', 'KATIE.example'];
    writeFileSync(file, hosts.map((field) => `${field} ${key.line}\n`).join(''));
    const { entries } = parseKnownHosts(readFileSync(file, 'utf8'), file);
    for (const name of ['katie.example', 'other.example', 'robin', 'nobody']) {
      const found = spawnSync('ssh-keygen', ['-F', name, '-f', file], { encoding: 'utf8' }).stdout;
      const theirs = [...found.matchAll(/found: line (\d+)/g)].map((match) => Number(match[1]));
      const ours = entries.filter((entry) => matchesHosts(entry.hosts, name)).map((entry) => entry.line);
      expect(ours, name).toEqual(theirs);
    }
  });

  test('agree on a file that ssh-keygen -R has edited', () => {
    const file = join(folder, 'removed');
    writeFileSync(file, names.map((name) => `${name} ${key.line}\n`).join(''));
    execFileSync('ssh-keygen', ['-R', '[katie.example]:2222', '-f', file], { stdio: 'pipe' });
    const { entries } = parseKnownHosts(readFileSync(file, 'utf8'), file);
    expect(entries.map((entry) => entry.hosts)).toEqual(
      names.filter((name) => name !== '[katie.example]:2222'),
    );
  });
});
