// FTP's control connection: lines, replies and what is rewritten, split anywhere and mangled anyhow.
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { FtpControl } from '../../src/forward/ftp.ts';
import {
  LineReader,
  passiveReply,
  plainAddress,
  readCommand,
  ReplyReader,
  type Reply,
} from '../../src/forward/ftp-lines.ts';
import type { OpenRequest } from '../../src/forward/local.ts';
import { systemClock } from '../../src/model/clock.ts';
import { channelPair, type MemoryChannel } from '../helpers/memory-session.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

test('lines are the same however the stream is cut', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.array(fc.nat(20), { maxLength: 10 }), (text, cuts) => {
      const stream = bytes(text.replaceAll('a', '\n'));
      const whole = new LineReader();
      const cut = new LineReader();
      const wanted = [...whole.push(stream), whole.rest()];
      const got: (Buffer | null)[] = [];
      let from = 0;
      for (const length of cuts) {
        got.push(...cut.push(stream.subarray(from, from + length)));
        from = Math.min(stream.length, from + length);
      }
      got.push(...cut.push(stream.subarray(from)), cut.rest());
      expect(got).toEqual(wanted);
    }),
  );
});

test('a line without end is dropped, and memory stays small', () => {
  const reader = new LineReader();
  for (let index = 0; index < 100; index += 1) {
    expect(reader.push(Buffer.alloc(4096, 65))).toEqual([]);
    expect(reader.pending).toBeLessThan(9000);
  }
  expect(reader.push(bytes('\r\nNOOP\r\n'))).toEqual([null, bytes('NOOP\r\n')]);
});

test.each([
  ['PORT 127,0,0,1,4,1\r\n', /^502 /],
  ['eprt |1|127.0.0.1|5|\r\n', /^522 /],
  ['AUTH TLS\r\n', /^502 /],
  ['LPRT 6\r\n', /^502 /],
  ['PORTAL x\r\n', null],
  ['RETR PORT\r\n', null],
  ['constructor\r\n', null],
  ['\r\n', null],
])('%j is answered by %s', (line, answer) => {
  const command = readCommand(bytes(line));
  if (answer === null) expect(command).toMatchObject({ kind: 'pass', line: bytes(line) });
  else expect(command.kind === 'answer' && command.reply.toString()).toMatch(answer);
});

test('telnet marks before a command are left out, bytes within stay', () => {
  const command = readCommand(Buffer.concat([Buffer.from([0xff, 0xf4, 0xff, 0xf2]), bytes('ABOR\r\n')]));
  expect(command).toMatchObject({ verb: 'ABOR', line: bytes('ABOR\r\n') });
  expect(readCommand(bytes('RETR \xff\xff\r\n'))).toMatchObject({ line: bytes('RETR \xff\xff\r\n') });
});

const final = (code: number, passivePort: number | null = null): Reply => ({
  kind: 'final',
  code,
  passivePort,
});
test.each([
  ['227 Entering Passive Mode (10,0,0,1,4,1).', final(227, 1025)],
  ['227 =10,0,0,1,4,1', final(227, 1025)],
  ['227 Entering Passive Mode (10,0,0,1,400,1).', final(227)],
  ['227 Entering Passive Mode (10,0,0,1,0,0).', final(227)],
  ['229 Entering Extended Passive Mode (|||6446|)', final(229, 6446)],
  ['229 Extended (!!!99!)', final(229, 99)],
  ['229 Extended (|||99999|)', final(229)],
  ['229 nothing', final(229)],
  ['226 done (|||6446|)', final(226)],
  ['230-welcome', { kind: 'text' }],
  ['hello', { kind: 'text' }],
  ['220', final(220)],
])('%j is read', (line, reply) => {
  expect(new ReplyReader().read(bytes(`${line}\r\n`))).toEqual(reply);
});

test('a passive reply within the text of another is text', () => {
  const reader = new ReplyReader();
  const kinds = [
    '230-motd',
    '227 Entering Passive Mode (1,2,3,4,5,6)',
    '230-more',
    ' 230 no',
    '230 end',
    '227 (1,2,3,4,5,6)',
  ].map((line) => reader.read(bytes(`${line}\r\n`)));
  expect(kinds.map(({ kind }) => kind)).toEqual(['text', 'text', 'text', 'text', 'final', 'final']);
});

test('a passive reply names the address the client came to', () => {
  expect(passiveReply(227, '::ffff:192.168.1.5', 1025)?.toString()).toBe(
    '227 Entering Passive Mode (192,168,1,5,4,1).\r\n',
  );
  expect(passiveReply(227, '::1', 1025)?.toString()).toContain('(127,0,0,1,4,1)');
  expect(passiveReply(227, 'fd00::1', 1025)).toBeNull();
  expect(passiveReply(229, 'fd00::1', 1025)?.toString()).toContain('(|||1025|)');
  expect(plainAddress('::FFFF:10.0.0.1')).toBe('10.0.0.1');
});

describe('a control connection', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  interface Control {
    readonly control: FtpControl;
    readonly server: MemoryChannel;
    readonly heard: () => string;
    readonly said: () => string;
    /** How many pieces the two sides were handed. */
    readonly pieces: () => number;
    readonly logged: string[];
  }
  function start(): Control {
    const { near, far } = channelPair();
    const logged: string[] = [];
    const request = {
      client: { socket: { localAddress: '127.0.0.1' }, origin: { host: '127.0.0.1', port: 1 } },
      clock: systemClock,
      log: (_level: string, event: string) => logged.push(event),
    } as unknown as OpenRequest;
    const control = new FtpControl(near, request, 'ftp.in');
    let heard = '';
    let said = '';
    let pieces = 0;
    far.attach({
      data(chunk) {
        pieces += 1;
        heard += chunk.toString('latin1');
        far.consumed(chunk.length);
      },
      end: () => undefined,
      closed: () => undefined,
      drain: () => undefined,
    });
    control.attach({
      data(chunk) {
        pieces += 1;
        said += chunk.toString('latin1');
        control.consumed(chunk.length);
      },
      end: () => undefined,
      closed: () => undefined,
      drain: () => undefined,
    });
    closing.push(() => control.close());
    return { control, server: far, heard: () => heard, said: () => said, pieces: () => pieces, logged };
  }
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };

  test('rewrites a passive reply and keeps what follows behind it', async () => {
    const { server, said } = start();
    server.write(bytes('220 hi\r\n227 Entering Passive Mode (10,9,8,7,200,21).\r\n200 next\r\n'));
    await until(() => said().includes('200 next'));
    expect(said()).toMatch(/^220 hi\r\n227 Entering Passive Mode \(127,0,0,1,\d+,\d+\)\.\r\n200 next\r\n$/);
    expect(said()).not.toContain('200,21');
  });

  test('very many short lines that come together go on together, both ways', async () => {
    const { control, server, said, heard, pieces } = start();
    control.write(bytes('NOOP\r\n'.repeat(5000)));
    await until(() => heard().length === 6 * 5000);
    server.write(bytes('220 hi\r\n' + '200 ok\r\n'.repeat(5000)));
    await until(() => said().length === 8 * 5001);
    expect(pieces()).toBeLessThan(100);
  });

  test('a passive reply that cannot be read is no data connection, not a wrong one', async () => {
    const { server, said } = start();
    server.write(bytes('220 hi\r\n227 somewhere\r\n'));
    await until(() => said().includes('425 '));
    expect(said()).not.toContain('227');
  });

  test('our answers wait for those of earlier commands', async () => {
    const { control, server, said, heard } = start();
    control.write(bytes('NOOP\r\nPORT 1,2,3,4,5,6\r\nSYST\r\n'));
    await until(() => heard() === 'NOOP\r\nSYST\r\n');
    expect(said()).toBe('');
    server.write(bytes('220 hi\r\n200 noop\r\n215 unix\r\n'));
    await until(() => said().includes('215'));
    expect(said().match(/^\d{3}/gm)).toEqual(['220', '200', '502', '215']);
  });

  test('bytes mangled and cut anyhow never crash, and every AUTH and PORT is answered by us', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.constantFrom(
              '220 x\r\n',
              '227 (1,2,3,4,5,6)\r\n',
              '229 (|||7|)\r\n',
              '230-\r\n',
              '230 y\r\n',
              '150 z\r\n',
            ),
            fc.string({ maxLength: 12 }),
          ),
          { maxLength: 8 },
        ),
        fc.array(
          fc.oneof(
            fc.constantFrom('PORT 1\r\n', 'AUTH TLS\r\n', 'RETR a\r\n', '\r\n'),
            fc.string({ maxLength: 9 }),
          ),
          {
            maxLength: 8,
          },
        ),
        fc.array(fc.nat(9), { maxLength: 12 }),
        async (replies, commands, cuts) => {
          const { control, server, said, heard } = start();
          const cut = (text: string, write: (chunk: Buffer) => void): void => {
            let rest = bytes(text);
            for (const length of cuts) {
              if (length > 0 && rest.length > 0) write(rest.subarray(0, length));
              rest = rest.subarray(length);
            }
            if (rest.length > 0) write(rest);
          };
          cut(replies.join(''), (chunk) => server.write(chunk));
          cut(commands.join(''), (chunk) => control.write(chunk));
          server.write(bytes('\r\n221 the end\r\n'));
          await until(() => said().includes('221 the end'));
          expect(heard()).not.toMatch(/^(PORT|AUTH) /m);
          if (!/^\d{3}-/m.test(said())) expect(said()).not.toMatch(/^227 \(1,2,3,4,5,6\)/m);
          control.close();
        },
      ),
      { numRuns: 200 },
    );
  });
});
