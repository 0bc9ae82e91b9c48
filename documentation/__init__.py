"""The documentation as a site: what MkDocs needs beside the pages in docs/, and the references made of the code."""
