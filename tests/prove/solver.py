#!/usr/bin/env python3
"""cvc5 as a process that speaks SMT-LIB on its pipes, made of its Python package.

Each complete command goes to the package's own parser, and what it answers goes out at once. `(reset)` starts a fresh solver: the
package's own leaves declarations behind.
"""

import sys

import cvc5


def fresh():
    solver = cvc5.Solver()
    symbols = cvc5.SymbolManager(solver)
    parser = cvc5.InputParser(solver, symbols)
    return solver, symbols, parser


def commands(lines):
    """Text up to each bracket that closes the outermost one; strings and comments are passed over."""
    text, depth, quoted = [], 0, None
    for line in lines:
        comment = False
        for c in line:
            if comment:
                comment = c != "\n"
                continue
            if quoted:
                text.append(c)
                if c == quoted:
                    quoted = None
                continue
            if c == ";":
                comment = True
                continue
            text.append(c)
            if c in '"|':
                quoted = c
            elif c == "(":
                depth += 1
            elif c == ")":
                depth -= 1
                if depth == 0:
                    yield "".join(text).strip()
                    text = []


def main():
    solver, symbols, parser = fresh()
    for text in commands(sys.stdin):
        if text == "(reset)":
            solver, symbols, parser = fresh()
            continue
        try:
            parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "pipe")
            while True:
                command = parser.nextCommand()
                if command.isNull():
                    break
                answer = command.invoke(solver, symbols)
                if answer:
                    sys.stdout.write(answer)
        except RuntimeError as error:
            told = str(error).replace('"', "'").replace("\n", " ")
            sys.stdout.write(f'(error "{told}")\n')
        sys.stdout.flush()


main()
