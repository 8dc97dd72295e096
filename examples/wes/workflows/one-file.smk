"""A workflow of one file: it writes the numbers up to the one in its parameters."""


rule numbers:
    output:
        "numbers.txt",
    params:
        last=config.get("last", 3),
        pause_s=config.get("pause_s", 0),
    shell:
        "sleep {params.pause_s}; seq {params.last} > {output}"
