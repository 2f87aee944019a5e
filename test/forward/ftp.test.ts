// FTP's control connection: lines, replies and what is rewritten, split anywhere and mangled anyhow.
import { once } from 'node:events';
import { connect } from 'node:net';
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
import { systemClock, type Clock } from '../../src/model/clock.ts';
import { listenersOf } from '../helpers/forwards-world.ts';
import { manualClock } from '../helpers/manual-clock.ts';
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
      for (const length of [...cuts, stream.length]) {
        const piece = Buffer.from(stream.subarray(from, from + length));
        got.push(...cut.push(piece).map((line) => line && Buffer.from(line)));
        piece.fill(0xdb); // its writer uses the memory again
        from = Math.min(stream.length, from + length);
      }
      got.push(cut.rest());
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
  ['227 Entering Passive Mode (10,0,0,1,4,300).', final(227)],
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
    /** How often the client was asked to go on. */
    readonly drains: () => number;
    readonly logged: string[];
  }
  /** `reads`: the client does. `from`: its address. */
  function start({ reads = true, from = '127.0.0.1', clock = systemClock as Clock } = {}): Control {
    const { near, far } = channelPair();
    const logged: string[] = [];
    const request = {
      client: { socket: { localAddress: '127.0.0.1' }, origin: { host: from, port: 1 } },
      clock,
      log: (_level: string, event: string) => logged.push(event),
    } as unknown as OpenRequest;
    const control = new FtpControl(near, request, 'ftp.in');
    let heard = '';
    let said = '';
    let pieces = 0;
    let drains = 0;
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
        if (reads) control.consumed(chunk.length);
      },
      end: () => undefined,
      closed: () => undefined,
      drain: () => (drains += 1),
    });
    closing.push(() => control.close());
    return {
      control,
      server: far,
      heard: () => heard,
      said: () => said,
      pieces: () => pieces,
      drains: () => drains,
      logged,
    };
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

  test('a server that answers nothing keeps our own answers for a second, and a client that asks on waits for them', async () => {
    const clock = manualClock();
    const { control, said, drains } = start({ clock });
    const asks = (): boolean => control.write(bytes('PORT 1,2,3,4,5,6\r\n'.repeat(100)));
    expect([asks(), asks()]).toEqual([true, false]);
    expect([said(), drains(), clock.armed()]).toEqual(['', 0, 1]);
    clock.advance(1000);
    expect(said().match(/^502 /gm)).toHaveLength(200);
    expect([drains(), clock.armed()]).toEqual([1, 0]);
  });

  test('a client that asks without end and reads none of our answers is read no further until it does', async () => {
    const { control, server, said, drains } = start({ reads: false });
    server.write(bytes('220 hi\r\n'));
    await until(() => said() !== '');
    let asked = 0;
    for (let goesOn = true; goesOn && asked < 10_000; asked += 100)
      goesOn = control.write(bytes('PORT 1,2,3,4,5,6\r\n'.repeat(100)));
    expect(asked).toBeLessThan(10_000);
    control.consumed(1000);
    expect(drains()).toBe(0);
    control.consumed(said().length - 1000);
    expect(drains()).toBe(1);
  });

  test.runIf(process.platform === 'linux')(
    'a server that names port after port has one listener here at a time, and none when it is gone',
    async () => {
      const { control, server, said } = start();
      const replies = Array.from({ length: 50 }, (_, at) => `227 Entering (10,9,8,7,200,${at})\r\n`);
      server.write(bytes(`220 hi\r\n${replies.join('')}200 next\r\n`));
      await until(() => said().includes('200 next'));
      const ports = [...said().matchAll(/,(\d+),(\d+)\)/g)].map(
        ([, high, low]) => Number(high) * 256 + Number(low),
      );
      expect(ports).toHaveLength(50);
      expect(listenersOf(process.pid).filter((port) => ports.includes(port))).toEqual([ports.at(-1)]);
      control.close();
      await until(() => !listenersOf(process.pid).some((port) => ports.includes(port)));
    },
  );

  test('a data connection from elsewhere than the control connection is reset, and told of', async () => {
    const { server, said, logged } = start({ from: '10.0.0.9' });
    server.write(bytes('220 hi\r\n229 Extended (|||6446|)\r\n'));
    await until(() => said().includes('229 '));
    const stranger = connect(Number(/\|\|\|(\d+)\|/.exec(said())?.[1]), '127.0.0.1');
    const [error] = (await once(stranger, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(logged).toEqual(['ftp-stranger']);
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
