"""What a Glue crawler makes of an include path: pure rules, files in and tables out.

    listing = [Listed(uri="s3://lake/raw/a.csv", size_bytes=12), ...]
    crawl(listing, opener, Scope(root="s3://lake/raw/")).tables

    crawl       the whole of it                      globs      exclusion patterns
    samples     the first MiB, decompressed          classify   the order of classifiers
    csvformat, jsonformat, avroformat, footers       hive       types, and how they merge
    grouping    tables and partitions of folders     tables     TableInput and PartitionInput
    changes     found tables against the catalog     surprises  what to warn of;  preview  the command

Where Glue's documentation and its behaviour differ, or it says nothing, the rule of this package stands
in the head of the module, so that a difference to AWS can be found by reading one page.
"""

from __future__ import annotations

from penstock.local.crawler.classify import CustomClassifier
from penstock.local.crawler.crawl import Crawled, Listed, Scope, Stopped, crawl
from penstock.local.crawler.tables import Found

__all__ = ["Crawled", "CustomClassifier", "Found", "Listed", "Scope", "Stopped", "crawl"]
